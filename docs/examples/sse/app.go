// Is told by the agent when this pod begins and ceases to lead. A stream that ends, or is silent, says that it does not.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// The agent says something every 15 s.
const silence = 30 * time.Second

func listen(url string, tell func(bool)) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	patience := time.AfterFunc(silence, cancel)
	defer patience.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		patience.Reset(silence)
		if data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data:")); isData {
			var answer struct {
				IsLeader bool `json:"is_leader"`
			}
			if err := json.Unmarshal(data, &answer); err != nil {
				return err
			}
			tell(answer.IsLeader)
		}
	}
	return lines.Err()
}

// What the leader does, until it is told that it leads no more.
func act(ctx context.Context) {}

func main() {
	url := "http://" + cmp.Or(os.Getenv("ELECTOR_ADDRESS"), "127.0.0.1:4040") + "/sse"
	leads := false
	stop := context.CancelFunc(func() {})
	tell := func(isLeader bool) {
		if isLeader == leads {
			return
		}
		leads = isLeader
		fmt.Println("leads:", leads)
		stop()
		if leads {
			var ctx context.Context
			ctx, stop = context.WithCancel(context.Background())
			go act(ctx)
		}
	}
	for ; ; time.Sleep(time.Second) {
		if err := listen(url, tell); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		tell(false)
	}
}
