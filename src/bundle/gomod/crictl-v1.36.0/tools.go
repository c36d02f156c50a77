//go:build tools

// Package tools names the commands of this set, so that go.sum covers them.
package tools

import (
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
)
