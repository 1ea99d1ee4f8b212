module devcluster/tiny

go 1.26.0
