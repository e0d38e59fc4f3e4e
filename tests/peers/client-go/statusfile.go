package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// statusFile exists while its process leads. The library calls keep in a
// goroutine of its own, which may run late: hence the lock and the look at the context.
type statusFile struct {
	path    string
	content string
	lock    sync.Mutex
}

// keep has the file exist until ctx, the leadership's, is cancelled.
func (f *statusFile) keep(ctx context.Context) {
	f.write(ctx)
	<-ctx.Done()
	f.remove()
}

// write makes the file appear whole, unless leadership has ended meanwhile.
func (f *statusFile) write(ctx context.Context) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if ctx.Err() != nil {
		return
	}
	partial := f.path + ".partial"
	err := os.WriteFile(partial, []byte(f.content+"\n"), 0o644)
	if err == nil {
		err = os.Rename(partial, f.path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed to write the status file:", err)
	}
}

func (f *statusFile) remove() {
	f.lock.Lock()
	defer f.lock.Unlock()
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "failed to remove the status file:", err)
	}
}
