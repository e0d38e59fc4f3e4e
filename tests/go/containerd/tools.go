//go:build tools

// Package containerd names the commands that are built from this module, so
// that `go mod tidy` keeps in go.mod and go.sum what they need.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
