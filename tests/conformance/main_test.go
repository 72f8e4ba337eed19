package conformance

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"gateway.internal/conformance/kubelet"
)

// The words that stand in place of a gateway's path.
const (
	// none: no gateway runs. No test may pass.
	none = "none"
	// frozen: the gateway runs, and after the setup nothing of what it publishes is brought back. A test that passes
	// asserts nothing about a status.
	frozen = "frozen"
)

var options struct {
	gateway, echo, what                    string
	out, reports, ratchet, version, crdDir string
	patience                               time.Duration
	bless                                  bool
}

func init() {
	flag.StringVar(&options.gateway, "gateway", "", "path of the gateway's binary, or none, or frozen (then $GATEWAY_BIN)")
	flag.StringVar(&options.echo, "echo", "", "path of the official echo-basic server")
	flag.StringVar(&options.crdDir, "definitions", "", "directory of the suite's CustomResourceDefinitions")
	flag.StringVar(&options.what, "what", "GATEWAY-HTTP", "a profile, or names of tests of one profile, parted by commas")
	flag.DurationVar(&options.patience, "patience", 5*time.Second, "how long a status or an answer is waited for")
	flag.StringVar(&options.out, "out", "", "directory for logs, made anew")
	flag.StringVar(&options.reports, "reports", "", "directory for the report and the table of a whole profile")
	flag.StringVar(&options.ratchet, "ratchet", "", "file with the tests that have passed before")
	flag.BoolVar(&options.bless, "bless", false, "add tests that pass to that file")
}

// verdict is what a run comes to: the exit code does not follow from failed tests alone.
var verdict struct {
	// judged: the run has come to its end. One that broke off before fails as any test does.
	judged bool
	wrong  []string
}

func TestMain(m *testing.M) {
	if os.Getenv(kubelet.DNSVariable) != "" {
		fmt.Fprintln(os.Stderr, kubelet.ServeDNS())
		os.Exit(1)
	}
	flag.Parse()
	log.SetLogger(logr.Discard())
	// The suite's requests go straight to the gateway.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		_ = os.Unsetenv(name)
		_ = os.Unsetenv(strings.ToLower(name))
	}
	code := m.Run()
	if !verdict.judged {
		os.Exit(code)
	}
	for _, wrong := range verdict.wrong {
		fmt.Fprintln(os.Stderr, "conformance:", wrong)
	}
	if len(verdict.wrong) > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}
