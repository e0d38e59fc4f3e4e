//go:build tools

// Package actionlint names the command that is built from this module, so
// that `go mod tidy` keeps in go.mod and go.sum what it needs.
package actionlint

import _ "github.com/rhysd/actionlint/cmd/actionlint"
