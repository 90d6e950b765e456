// Package migrations holds the steps that make the database, in order. They only go forward.
package migrations

import "embed"

// Files are the migrations, one SQL file each.
//
//go:embed *.sql
var Files embed.FS
