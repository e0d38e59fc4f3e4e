// Asks the leader by its Service, and again for as long as nobody answers as the leader. Each time by a new connection:
// one that is kept leads to the pod that led when it was made.
package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

var client = http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func ask(url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, response.Status)
	}
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

func main() {
	url := cmp.Or(os.Getenv("LEADER_URL"), "http://billing-leader")
	before := ""
	for ; ; time.Sleep(500 * time.Millisecond) {
		leader, err := ask(url)
		if err != nil {
			leader = "nobody"
		}
		if leader != before {
			fmt.Println("leader:", leader)
			before = leader
		}
	}
}
