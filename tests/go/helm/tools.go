//go:build tools

// Package helm names the commands that are built from this module, so
// that `go mod tidy` keeps in go.mod and go.sum what they need.
package helm

import (
	_ "github.com/norwoodj/helm-docs/cmd/helm-docs"
	_ "helm.sh/helm/v4/cmd/helm"
)
