// Looks at the file before each act: it exists only while this pod leads.
package main

import (
	"cmp"
	"fmt"
	"os"
	"time"
)

// What the leader does. Short, as the look is over once it begins.
func act() {}

func main() {
	statusFile := cmp.Or(os.Getenv("STATUS_FILE"), "/run/leader-election/leader_status")
	led := false
	for ; ; time.Sleep(500 * time.Millisecond) {
		info, err := os.Stat(statusFile)
		leads := err == nil && info.Mode().IsRegular()
		if leads != led {
			fmt.Println("leads:", leads)
			led = leads
		}
		if leads {
			act()
		}
	}
}
