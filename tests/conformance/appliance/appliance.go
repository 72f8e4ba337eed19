// Package appliance runs the gateway itself: the real binary, as an operator would start it, in directories of its own.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The addresses of the network that the gateway works in: a network namespace of its own, where all of 127.0.0.0/8 is
// on the loopback interface.
const (
	// Pool is where Gateways without an address get theirs, as the Appliance object says.
	Pool = "127.10.0.0/24"
	// UsableAddress is on this host and not in the pool: a Gateway may ask for it.
	UsableAddress = "127.10.1.1"
	// UnusableAddress is not on this host (RFC 5737).
	UnusableAddress = "192.0.2.1"
	// admin is where the gateway says whether it is ready.
	admin = "127.0.0.1:19000"
)

// ControllerName is what the GatewayClasses of this gateway name.
const ControllerName = "gateway.internal/appliance"

// settings is the one object of the directory that no user of the API has made: what the operator has set.
const settings = `apiVersion: gateway.internal/v1alpha1
kind: Appliance
metadata:
  name: appliance
spec:
  addresses: [%s]
  workers: 2
  kernel: {mode: "Off"}
`

// patience is how long the gateway may take to become ready, and to stop.
const patience = 30 * time.Second

// Appliance is a gateway process.
type Appliance struct {
	command *exec.Cmd
	log     *os.File
	ended   chan struct{}
	failure error
}

// Directories makes the directories of an appliance below root and writes what the operator has set.
func Directories(root string) error {
	for _, directory := range []string{ConfigDir(root), filepath.Join(root, "state"), RuntimeDir(root)} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(settings, Pool)
	return os.WriteFile(filepath.Join(ConfigDir(root), "appliance.yaml"), []byte(text), 0o644)
}

// ConfigDir is where the manifests of an appliance below root are.
func ConfigDir(root string) string { return filepath.Join(root, "config") }

// RuntimeDir is where an appliance below root publishes statuses.
func RuntimeDir(root string) string { return filepath.Join(root, "run") }

// Start starts a gateway on directories that [Directories] has made, and returns when it is ready. Its log goes to
// gateway.log below root.
func Start(ctx context.Context, binary, root string) (*Appliance, error) {
	log, err := os.Create(filepath.Join(root, "gateway.log"))
	if err != nil {
		return nil, err
	}
	command := exec.Command(
		binary, "run",
		"--config-dir", ConfigDir(root),
		"--state-dir", filepath.Join(root, "state"),
		"--runtime-dir", RuntimeDir(root),
		"--admin", admin,
		"--drain-timeout", "1s",
	)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	appliance := &Appliance{command: command, log: log, ended: make(chan struct{})}
	started := make(chan error)
	go appliance.live(started)
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the gateway: %w", err), log.Close())
	}
	if err := appliance.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, appliance.Stop())
	}
	return appliance, nil
}

// live starts the process and waits for its end. It dies with the thread that started it, so that it never outlives us.
func (a *Appliance) live(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := a.command.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	a.failure = a.command.Wait()
	close(a.ended)
}

func (a *Appliance) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !isReady(ctx) {
		select {
		case <-a.ended:
			return fmt.Errorf("the gateway ended before it was ready: %s", a.lastLine())
		case <-ctx.Done():
			return fmt.Errorf("the gateway was not ready within %s: %s", patience, a.lastLine())
		case <-ticker.C:
		}
	}
	return nil
}

func isReady(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// HasEnded is true for a gateway that has ended by itself, which none may.
func (a *Appliance) HasEnded() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

// Stop asks the gateway to end and waits for it. An exit status other than 0 is an error.
func (a *Appliance) Stop() error {
	_ = a.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.ended:
	case <-time.After(patience):
		_ = a.command.Process.Kill()
		<-a.ended
	}
	if a.failure != nil {
		a.failure = fmt.Errorf("the gateway: %w: %s", a.failure, a.lastLine())
	}
	return errors.Join(a.failure, a.log.Close())
}

func (a *Appliance) lastLine() string {
	text, err := os.ReadFile(a.log.Name())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
