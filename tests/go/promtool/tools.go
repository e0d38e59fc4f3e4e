//go:build tools

// Package promtool names the command that is built from this module, so
// that `go mod tidy` keeps in go.mod and go.sum what it needs.
package promtool

import _ "github.com/prometheus/prometheus/cmd/promtool"
