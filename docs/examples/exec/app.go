// Run by `elector-agent exec`: it runs only while this pod leads, and is to end within 2.4 s of SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// What the leader does, with the token for whoever checks it.
func act(ctx context.Context, token string) {}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	token := os.Getenv("LEADER_ELECTION_FENCING_TOKEN")
	fmt.Println("leads: true, token", token)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		act(ctx, token)
		select {
		case <-ctx.Done():
			fmt.Println("leads: false")
			return
		case <-ticker.C:
		}
	}
}
