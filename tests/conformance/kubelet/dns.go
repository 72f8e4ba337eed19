package kubelet

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSVariable makes the program [Images.DNS] serve DNS and nothing else.
const DNSVariable = "CONFORMANCE_DNS"

// ServeDNS answers every query for an A record with one address, on UDP port 53, until it fails. It stands for the
// suite's DNS server, whose answers the suite does not look into.
func ServeDNS() error {
	socket, err := net.ListenPacket("udp", ":53")
	if err != nil {
		return err
	}
	query := make([]byte, 4096)
	for {
		length, client, err := socket.ReadFrom(query)
		if err != nil {
			return err
		}
		answer, err := answer(query[:length])
		if err != nil {
			fmt.Fprintf(os.Stderr, "not a query, from %s: %v\n", client, err)
			continue
		}
		fmt.Printf("answering %s\n", client)
		if _, err := socket.WriteTo(answer, client); err != nil {
			return err
		}
	}
}

// answer gives every question that asks for an A record 192.0.2.53 (RFC 5737).
func answer(query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.Authoritative = true, true
	message.Additionals = nil
	for _, question := range message.Questions {
		if question.Type != dnsmessage.TypeA {
			continue
		}
		message.Answers = append(message.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 53}},
		})
	}
	return message.Pack()
}
