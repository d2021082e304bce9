module c2spcheck

// The oldest Go and the oldest x/mod that do, so that it builds in many places: in newer ones these packages are the same.
go 1.23.0

require golang.org/x/mod v0.24.0
