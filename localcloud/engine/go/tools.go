//go:build tools

// Package engine names the one command that this module exists to build, so that `go mod tidy`
// keeps its dependencies.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
