"""What a person is told when the local cluster cannot be had: one line that names the problem, one remedy."""


class DevClusterError(Exception):
    """The local cluster, its programs or its images cannot be provided.

    Args:
        problem: What is wrong, one line without a final full stop.
        remedy: What the person in front of the terminal can do about it.
        details: Further lines, such as the end of a compiler's output; printed after the line itself.
    """

    def __init__(self, problem: str, remedy: str, details: str = "") -> None:
        super().__init__(problem, remedy, details)
        self.problem = problem
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        """One line: the problem and its remedy."""
        return f"{self.problem}: {self.remedy}" if self.remedy else self.problem
