module gum

go 1.22
