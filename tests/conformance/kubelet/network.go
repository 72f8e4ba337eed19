package kubelet

import (
	"fmt"
	"os/exec"
	"strings"
)

const (
	bridge = "pods0"
	// gatewayAddress is the bridge's own, the way out of every pod.
	gatewayAddress = "10.244.0.1"
	prefixLength   = 16
)

// network is the bridge that pods are joined to.
type network struct{}

// newNetwork makes the bridge, and brings up the loopback interface of the namespace that we are in.
func newNetwork() (network, error) {
	return network{}, run(
		"ip link set lo up",
		"ip link add "+bridge+" type bridge",
		fmt.Sprintf("ip address add %s/%d dev %s", gatewayAddress, prefixLength, bridge),
		"ip link set "+bridge+" up",
	)
}

// address is that of the pod of a number, which counts from 0.
func (network) address(number int) string {
	const perNetwork = 250
	return fmt.Sprintf("10.244.%d.%d", number/perNetwork, 2+number%perNetwork)
}

// join gives the network namespace of a process an interface with the address of a pod's number. The pair goes with
// the namespace, and that with the process.
func (n network) join(number, pid int) error {
	inside := fmt.Sprintf("nsenter --target %d --net ip ", pid)
	return run(
		fmt.Sprintf("ip link add pod%d master %s up type veth peer name eth0 netns %d", number, bridge, pid),
		inside+"link set lo up",
		inside+fmt.Sprintf("address add %s/%d dev eth0", n.address(number), prefixLength),
		inside+"link set eth0 up",
		inside+"route add default via "+gatewayAddress,
	)
}

// run runs commands, words parted by single spaces, until one fails.
func run(commands ...string) error {
	for _, command := range commands {
		words := strings.Split(command, " ")
		output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("`%s` failed (%w): %s", command, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
