module gateway.internal/conformance/fields

go 1.26.7

require (
	github.com/envoyproxy/gateway v1.9.1
	go.yaml.in/yaml/v3 v3.0.5
)
