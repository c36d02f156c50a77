//go:build tools

// Package tools names the commands of this set, so that go.sum covers them.
package tools

import (
	_ "github.com/coredns/coredns"
)
