package appliance_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gateway.internal/conformance/appliance"
)

func TestAGatewayThatEndsAtItsStartSaysWhy(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, appliance.Directories(root))
	binary := filepath.Join(root, "gateway")
	require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\necho \"cannot run with $1 $2\"\nexit 3\n"), 0o755))
	_, err := appliance.Start(context.Background(), binary, root)
	require.ErrorContains(t, err, "cannot run with run --config-dir")
	require.ErrorContains(t, err, "exit status 3")
	_, err = appliance.Start(context.Background(), filepath.Join(root, "nothing"), root)
	require.ErrorContains(t, err, "cannot start the gateway")
}

func TestTheOperatorsSettingsAreThere(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, appliance.Directories(root))
	text, err := os.ReadFile(filepath.Join(appliance.ConfigDir(root), "appliance.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "addresses: ["+appliance.Pool+"]")
}
