// Asks the agent before each act. No answer in time, or any other than 200, and it does not lead.
package main

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"time"
)

var client = http.Client{Timeout: 500 * time.Millisecond}

func isLeader(url string) bool {
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// What the leader does. Short, as the answer is of the past once it begins.
func act() {}

func main() {
	url := "http://" + cmp.Or(os.Getenv("ELECTOR_ADDRESS"), "127.0.0.1:4040") + "/isLeader"
	led := false
	for ; ; time.Sleep(500 * time.Millisecond) {
		leads := isLeader(url)
		if leads != led {
			fmt.Println("leads:", leads)
			led = leads
		}
		if leads {
			act()
		}
	}
}
