package kubelet

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// port is what a program of a pod serves on.
type port struct {
	network string // tcp or udp
	number  uint16
}

// The states of proc(5)'s tables: a TCP socket that listens, a UDP socket that is bound.
const (
	listening = "0A"
	bound     = "07"
)

// listens tells whether, in the network namespace of a process, every port is served. It is looked up in the kernel's
// tables: a probing connection would be a request to some programs.
func listens(pid int, ports []port) (bool, error) {
	open := make(map[port]bool)
	for _, table := range []struct{ network, name, state string }{
		{"tcp", "tcp", listening}, {"tcp", "tcp6", listening}, {"udp", "udp", bound}, {"udp", "udp6", bound},
	} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table.name))
		if err != nil {
			return false, err
		}
		for _, number := range served(bufio.NewScanner(file), table.state) {
			open[port{table.network, number}] = true
		}
		_ = file.Close()
	}
	for _, port := range ports {
		if !open[port] {
			return false, nil
		}
	}
	return true, nil
}

// served reads a table of sockets: sl local_address rem_address st ..., addresses as HEX:PORT.
func served(table *bufio.Scanner, state string) (numbers []uint16) {
	for table.Scan() {
		fields := strings.Fields(table.Text())
		if len(fields) < 4 || fields[3] != state {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if number, err := strconv.ParseUint(hex, 16, 16); err == nil {
			numbers = append(numbers, uint16(number))
		}
	}
	return numbers
}
