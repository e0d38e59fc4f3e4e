// Asks `elector-agent check` before each act. It reads STATUS_FILE, and exits with 0 only if this pod leads.
package main

import (
	"fmt"
	"os/exec"
	"time"
)

// What the leader does. Short, as the look is over once it begins.
func act() {}

func main() {
	led := false
	for ; ; time.Sleep(500 * time.Millisecond) {
		leads := exec.Command("elector-agent", "check").Run() == nil
		if leads != led {
			fmt.Println("leads:", leads)
			led = leads
		}
		if leads {
			act()
		}
	}
}
