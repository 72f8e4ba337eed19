package conformance

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	upstream "sigs.k8s.io/gateway-api/conformance"
	reportv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/config"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/consts"
	"sigs.k8s.io/yaml"

	"gateway.internal/conformance/appliance"
	"gateway.internal/conformance/outcome"
)

// profiles are those of gateways; tests of meshes run programs inside of pods.
var profiles = []suite.ConformanceProfile{
	suite.GatewayHTTPConformanceProfile,
	suite.GatewayGRPCConformanceProfile,
	suite.GatewayTLSConformanceProfile,
	suite.GatewayTCPConformanceProfile,
	suite.GatewayUDPConformanceProfile,
}

// TestConformance runs every test of a profile, one after the other, whether or not the gateway claims its features.
func TestConformance(t *testing.T) {
	if options.gateway == "" {
		t.Skip("no -gateway: `cargo xtask conformance` starts this")
	}
	run := choose(t, options.what)
	run.world = newWorld(t)
	run.suite = run.newSuite(t)
	t.Run("suite", run.run)
	run.judge(t)
}

// run is one run of the suite.
type run struct {
	profile suite.ConformanceProfile
	// isWhole: all tests of the profile are run.
	isWhole bool
	tests   []suite.ConformanceTest
	world   *world
	suite   *suite.ConformanceTestSuite
	began   time.Time
	// last is when the test before has ended.
	last    time.Time
	results outcome.Results
}

// choose finds what is asked for: a profile, or the first one that has all tests of these names.
func choose(t *testing.T, what string) *run {
	names := strings.Split(what, ",")
	for _, profile := range profiles {
		all := testsOf(profile)
		if string(profile.Name) == what {
			return &run{profile: profile, isWhole: true, tests: all, began: time.Now()}
		}
		chosen := slices.DeleteFunc(slices.Clone(all), func(test suite.ConformanceTest) bool {
			return !slices.Contains(names, test.ShortName)
		})
		if len(chosen) == len(names) {
			return &run{profile: profile, tests: chosen, began: time.Now()}
		}
	}
	require.FailNow(t, "no profile for gateways is called "+what+", or has tests of these names")
	return nil
}

// testsOf gives the tests that need nothing beyond a profile's features.
func testsOf(profile suite.ConformanceProfile) (all []suite.ConformanceTest) {
	features := profile.CoreFeatures.Union(profile.ExtendedFeatures)
	for _, test := range tests.ConformanceTests {
		if features.HasAll(test.Features...) {
			all = append(all, test)
		}
	}
	return all
}

func (r *run) newSuite(t *testing.T) *suite.ConformanceTestSuite {
	config := r.world.server.Config()
	clients, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	clientOptions, err := r.world.server.Options()
	require.NoError(t, err)
	address := func(value string) []gatewayv1.GatewaySpecAddress {
		kind := gatewayv1.IPAddressType
		return []gatewayv1.GatewaySpecAddress{{Type: &kind, Value: value}}
	}
	created, err := suite.NewConformanceTestSuite(suite.ConformanceOptions{
		Client:        r.world.client,
		ClientOptions: clientOptions,
		Clientset:     clients,
		RestConfig:    config,
		ManifestFS:    []fs.FS{&upstream.Manifests},
		Hook:          r.record,
		ConfigurableOptions: suite.ConfigurableOptions{
			GatewayClassName:         className,
			CleanupBaseResources:     true,
			CleanupTestResources:     true,
			SupportedFeatures:        r.profile.CoreFeatures.Union(r.profile.ExtendedFeatures).UnsortedList(),
			ConformanceProfiles:      []suite.ConformanceProfileName{r.profile.Name},
			DisableParallelTests:     true,
			TimeoutConfig:            timeouts(options.patience),
			UsableNetworkAddresses:   address(appliance.UsableAddress),
			UnusableNetworkAddresses: address(appliance.UnusableAddress),
			Implementation: reportv1.Implementation{
				Organization: "gateway.internal",
				Project:      "gateway",
				URL:          "https://gateway.internal/",
				Version:      options.version,
				Contact:      []string{"see CONTRIBUTING.md"},
			},
		},
	})
	require.NoError(t, err)
	return created
}

// timeouts are shorter than the suite's own for everything that a gateway on the same host does at once, so that a run
// in which much fails ends. None is longer.
func timeouts(patience time.Duration) config.TimeoutConfig {
	timeouts := config.DefaultTimeoutConfig()
	for _, timeout := range []*time.Duration{
		&timeouts.GatewayMustHaveAddress,
		&timeouts.GatewayMustHaveCondition,
		&timeouts.GatewayStatusMustHaveListeners,
		&timeouts.GatewayListenersMustHaveConditions,
		&timeouts.ListenerSetMustHaveCondition,
		&timeouts.ListenerSetListenersMustHaveConditions,
		&timeouts.GWCMustBeAccepted,
		&timeouts.HTTPRouteMustNotHaveParents,
		&timeouts.HTTPRouteMustHaveCondition,
		&timeouts.TLSRouteMustHaveCondition,
		&timeouts.TCPRouteMustHaveCondition,
		&timeouts.UDPRouteMustHaveCondition,
		&timeouts.RouteMustHaveParents,
		&timeouts.MaxTimeToConsistency,
		&timeouts.RequestTimeout,
		&timeouts.LatestObservedGenerationSet,
		&timeouts.DefaultTestTimeout,
	} {
		*timeout = min(*timeout, patience)
	}
	timeouts.NamespacesMustBeReady = time.Minute
	return timeouts
}

// run sets up and runs the tests. Without a gateway the suite's setup ends with its first look at the GatewayClass;
// what it would have applied next is applied here, so that every test runs and fails by itself.
func (r *run) run(t *testing.T) {
	if options.gateway == none {
		applier := &r.suite.Applier
		applier.ManifestFS = r.suite.ManifestFS
		applier.GatewayClass, applier.ControllerName = className, appliance.ControllerName
		r.suite.ControllerName = appliance.ControllerName
		applier.MustApplyWithCleanup(t, r.suite.Client, r.suite.TimeoutConfig, r.suite.BaseManifests, true)
	} else {
		r.suite.Setup(t, r.tests)
	}
	if options.gateway == frozen {
		r.world.mirror.Freeze()
	}
	// The pods are there; what a test waits for from here on is the gateway.
	r.suite.TimeoutConfig.NamespacesMustBeReady = options.patience
	r.last = time.Now()
	require.NoError(t, r.suite.Run(t, r.tests))
}

// record is called after each test, when all that it made is gone again.
func (r *run) record(t *testing.T, test suite.ConformanceTest, _ *suite.ConformanceTestSuite) {
	now := time.Now()
	took := now.Sub(r.last).Seconds()
	r.last = now
	var features []string
	for _, feature := range test.Features {
		features = append(features, string(feature))
	}
	slices.Sort(features)
	word := "FAIL"
	switch {
	case t.Skipped():
		word = "skip"
	case !t.Failed():
		word = "pass"
	}
	fmt.Fprintf(os.Stderr, "%s %6.1f s  %s\n", word, took, test.ShortName)
	if !t.Skipped() {
		r.results = append(r.results, outcome.Result{
			Name: test.ShortName, Features: features, Provisional: test.Provisional, Passed: !t.Failed(), Hollow: hollow[test.ShortName] != "",
		})
	}
}

// judge says whether the run is as it should be, and writes down what a whole profile has come to.
func (r *run) judge(t *testing.T) {
	wrong := r.world.problems()
	if len(r.results) < len(r.tests) {
		wrong = append(wrong, fmt.Sprintf("%d of %d tests have run: did the setup fail?", len(r.results), len(r.tests)))
	}
	passed := r.results.Passed()
	fmt.Fprintf(os.Stderr, "%d of %d tests pass, in %.0f s\n", len(passed), len(r.results), time.Since(r.began).Seconds())
	if options.gateway == none || options.gateway == frozen {
		wrong = append(wrong, r.judgeControl(passed)...)
	} else {
		wrong = append(wrong, r.judgeRatchet(t)...)
		if r.isWhole && options.reports != "" {
			r.report(t)
		}
	}
	verdict.wrong = append(verdict.wrong, wrong...)
	verdict.judged = true
}

func (r *run) judgeRatchet(t *testing.T) (wrong []string) {
	if options.ratchet == "" {
		return nil
	}
	ratchet, err := outcome.ReadRatchet(options.ratchet)
	require.NoError(t, err)
	var known []string
	for _, test := range tests.ConformanceTests {
		known = append(known, test.ShortName)
	}
	if names := ratchet.New(r.results); len(names) > 0 {
		fmt.Fprintf(os.Stderr, "pass for the first time: %s\n", strings.Join(names, ", "))
		if options.bless {
			require.NoError(t, ratchet.Add(r.results))
		}
	}
	return ratchet.Judge(r.results, known)
}

// report writes the suite's own report and a table, both by the profile's name.
func (r *run) report(t *testing.T) {
	report, err := r.suite.Report()
	require.NoError(t, err)
	text, err := yaml.Marshal(report)
	require.NoError(t, err)
	var core []string
	for feature := range r.profile.CoreFeatures {
		core = append(core, string(feature))
	}
	table := outcome.Table(outcome.Figures{
		Profile:   string(r.profile.Name),
		Suite:     consts.BundleVersion,
		Core:      core,
		Published: r.world.published(t),
		Took:      time.Since(r.began),
		Delays:    r.world.mirror.Delays(),
	}, r.results)
	path := filepath.Join(options.reports, string(r.profile.Name))
	require.NoError(t, os.WriteFile(path+".yaml", text, 0o644))
	require.NoError(t, os.WriteFile(path+".md", []byte(table), 0o644))
}
