package kubelet

import (
	"fmt"
	"strings"
)

// Images are the programs that stand for container images.
type Images struct {
	// Echo is the official echo-basic server.
	Echo string
	// DNS is a program that answers DNS queries on UDP port 53 if it is started with the variable [DNSVariable].
	DNS string
}

// program is what runs in a container, and how it is told that it serves.
type program struct {
	path  string
	ports []port
	// variables are added to the container's.
	variables []string
}

// program finds what stands for an image: by the image's name, whatever its registry and tag.
func (i Images) program(image string, variables map[string]string) (program, error) {
	name := image[strings.LastIndexByte(image, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	switch name {
	case "echo-basic":
		return program{path: i.Echo, ports: echoPorts(variables)}, nil
	case "coredns":
		return program{path: i.DNS, ports: []port{{"udp", 53}}, variables: []string{DNSVariable + "=1"}}, nil
	}
	return program{}, fmt.Errorf("nothing stands for the image %s", image)
}

// echoPorts are those that echo-basic serves, by the mode that its variables choose.
func echoPorts(variables map[string]string) []port {
	http, h2c, https := port{"tcp", 3000}, port{"tcp", 3001}, port{"tcp", 8443}
	switch {
	case variables["UDP_ECHO_SERVER"] != "":
		return []port{{"udp", 8080}}
	case variables["TCP_ECHO_SERVER"] != "":
		return []port{http, https}
	}
	ports := []port{http}
	if variables["GRPC_ECHO_SERVER"] == "" {
		ports = append(ports, h2c)
	}
	if variables["TLS_SERVER_CERT"] != "" {
		ports = append(ports, https)
	}
	return ports
}
