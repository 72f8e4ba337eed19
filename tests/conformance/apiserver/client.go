package apiserver

import (
	"cmp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	kubernetesscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1alpha2 "sigs.k8s.io/gateway-api/apis/v1alpha2"
	gatewayv1alpha3 "sigs.k8s.io/gateway-api/apis/v1alpha3"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	gatewayxv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"
)

// Config is for clients of this server. Bodies are JSON (clients prefer protobuf for the core kinds otherwise), and a
// client does not hold itself back.
func (s *Server) Config() *rest.Config {
	return &rest.Config{
		Host:          "http://in-process",
		Transport:     s,
		QPS:           -1,
		ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON},
	}
}

// Options are for clients of this server: the Go types of all kinds, and which resource each is, so that nobody asks
// the server for it. To be called once the definitions are installed.
func (s *Server) Options() (client.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kubernetesscheme.AddToScheme,
		apiextensionsv1.AddToScheme,
		gatewayv1.Install,
		gatewayv1beta1.Install,
		gatewayv1alpha2.Install,
		gatewayv1alpha3.Install,
		gatewayxv1alpha1.Install,
	} {
		if err := add(scheme); err != nil {
			return client.Options{}, err
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range s.kinds {
		scope := meta.RESTScopeRoot
		if kind.namespaced {
			scope = meta.RESTScopeNamespace
		}
		for _, version := range kind.versions {
			of := runtimeschema.GroupVersion{Group: kind.group, Version: version}
			mapper.AddSpecific(of.WithKind(kind.name), of.WithResource(kind.plural), of.WithResource(strings.ToLower(kind.name)), scope)
		}
	}
	return client.Options{Scheme: scheme, Mapper: mapper}, nil
}

// Client is a client of this server.
func (s *Server) Client() (client.Client, error) {
	options, err := s.Options()
	if err != nil {
		return nil, err
	}
	return client.New(s.Config(), options)
}

// keysOf gives the keys of a kind in a namespace, or in all if it is empty, sorted. It is called under the lock.
func (s *Server) keysOf(kind *kind, namespace string) []Key {
	var keys []Key
	for key := range s.objects {
		if key.Group == kind.group && key.Kind == kind.name && (namespace == "" || key.Namespace == namespace) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return keys
}
