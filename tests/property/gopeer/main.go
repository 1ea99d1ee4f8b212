// Command gopeer answers which of the peers described on its standard input can talk to each other by mutual TLS, as
// Go's crypto/tls sees it. Everything, private keys too, comes by standard input; nothing is written but the answers.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

type identity struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

type peer struct {
	Roots  string   `json:"roots"`
	Client identity `json:"client"`
	Server identity `json:"server"`
}

type question struct {
	Now        int64    `json:"now"`
	ServerName string   `json:"serverName"`
	Peers      []peer   `json:"peers"`
	Pairs      [][2]int `json:"pairs"`
}

type answer struct {
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// patience bounds one conversation; nothing waits for it unless something is broken.
const patience = 30 * time.Second

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked question
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	now := func() time.Time { return time.Unix(asked.Now, 0) }
	clients := make([]*tls.Config, len(asked.Peers))
	servers := make([]*tls.Config, len(asked.Peers))
	for i, p := range asked.Peers {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(p.Roots)) {
			return fmt.Errorf("peer %d: no roots", i)
		}
		client, err := tls.X509KeyPair([]byte(p.Client.Chain), []byte(p.Client.Key))
		if err != nil {
			return fmt.Errorf("peer %d: client: %w", i, err)
		}
		server, err := tls.X509KeyPair([]byte(p.Server.Chain), []byte(p.Server.Key))
		if err != nil {
			return fmt.Errorf("peer %d: server: %w", i, err)
		}
		// GetClientCertificate shows the certificate whatever CAs the server names, so that its verifier decides.
		clients[i] = &tls.Config{
			RootCAs: roots, ServerName: asked.ServerName, Time: now,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil },
		}
		servers[i] = &tls.Config{
			ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, Time: now,
			Certificates: []tls.Certificate{server},
		}
	}
	answers := make([]answer, 0, len(asked.Pairs))
	for _, pair := range asked.Pairs {
		if err := talk(clients[pair[0]], servers[pair[1]]); err != nil {
			answers = append(answers, answer{Problem: err.Error()})
		} else {
			answers = append(answers, answer{OK: true})
		}
	}
	return json.NewEncoder(out).Encode(answers)
}

// talk shakes hands and sends one byte each way: with TLS 1.3 a client learns only by reading that it was refused.
func talk(client, server *tls.Config) error {
	near, far, err := pipe()
	if err != nil {
		return err
	}
	var served error
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		served = exchange(tls.Server(far, server))
	}()
	asked := exchange(tls.Client(near, client))
	wait.Wait()
	if asked != nil || served != nil {
		return fmt.Errorf("client: %v; server: %v", asked, served)
	}
	return nil
}

func exchange(conn *tls.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// pipe is a buffered connection in memory. net.Pipe has no buffer: two peers that both write would wait for ever.
func pipe() (net.Conn, net.Conn, error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	conns := make([]net.Conn, 2)
	for i, end := range ends {
		file := os.NewFile(uintptr(end), "pipe")
		conns[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return conns[0], conns[1], nil
}
