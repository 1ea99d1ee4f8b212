from pathlib import Path

from devcluster.cgroups import controllers, only_v2, options_of, parse

_HYBRID = """\
5:cpu,cpuacct:/
4:memory:/process/one
3:cpuset:/
1:name=systemd:/user.slice
0::/user.slice
"""
_HYBRID_MOUNTS = """\
30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_hybrid_machine() -> None:
    found = {hierarchy.options: hierarchy for hierarchy in parse(_HYBRID, _HYBRID_MOUNTS)}
    assert found["memory"].own == Path("/sys/fs/cgroup/memory/process/one")
    assert found["cpu,cpuacct"].own == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert found["cpu,cpuacct"].controllers == ("cpu", "cpuacct")
    assert found["name=systemd"].own == Path("/sys/fs/cgroup/systemd/user.slice")
    assert found[""].own == Path("/sys/fs/cgroup/unified/user.slice")
    assert "cpuset" not in found  # not mounted
    assert not only_v2(found)


def test_version_2_machine() -> None:
    mounts = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
    (found,) = parse("0::/system.slice/ssh.service", mounts)
    assert found.root == Path("/sys/fs/cgroup")
    assert found.own == Path("/sys/fs/cgroup/system.slice/ssh.service")
    assert only_v2([found.options])


def test_container_whose_mount_shows_a_part_of_the_hierarchy() -> None:
    mounts = "31 30 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    (found,) = parse("4:memory:/docker/abc/inner", mounts)
    assert found.own == Path("/sys/fs/cgroup/memory/inner")


def test_kind_is_told_by_membership_alone() -> None:
    options = options_of(_HYBRID)
    assert options == ("cpu,cpuacct", "memory", "cpuset", "name=systemd", "")
    assert [name for option in options for name in controllers(option)] == ["cpu", "cpuacct", "memory", "cpuset"]
    assert only_v2(options_of("0::/"))
