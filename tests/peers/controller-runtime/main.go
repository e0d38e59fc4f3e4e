// Command controller-runtime-peer is a manager of controller-runtime's with
// leader election, whose only work is a file that is there while it leads.
//
// As most managers it releases the Lease when it is told to stop, and ends when
// it loses it. It calls itself what a manager does in a pod: the pod's name and
// a number of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run contends until the process is told to stop, or has lost the Lease.
func run() error {
	leaseDuration := seconds("lease-duration-seconds", 15, "how long others wait for a silent leader")
	renewDeadline := seconds("renew-deadline-seconds", 10, "how long a leader tries to renew")
	retryPeriod := seconds("retry-period-seconds", 2, "time between two tries")
	// KUBECONFIG is read by controller-runtime.
	flag.Parse()
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	lock, err := lock(config)
	if err != nil {
		return err
	}
	ctrl.SetLogger(funcr.New(func(prefix, line string) { fmt.Fprintln(os.Stderr, prefix, line) }, funcr.Options{}))
	options := manager.Options{
		LeaderElection:                      true,
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true,
		LeaseDuration:                       leaseDuration,
		RenewDeadline:                       renewDeadline,
		RetryPeriod:                         retryPeriod,
		Metrics:                             server.Options{BindAddress: "0"},
	}
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	path := os.Getenv("STATUS_FILE")
	// An earlier process may have left one, and one that loses the Lease ends at once.
	os.Remove(path)
	defer os.Remove(path)
	if err := manager.Add(work(path)); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func seconds(name string, value int, usage string) *time.Duration {
	duration := time.Duration(value) * time.Second
	flag.Func(name, usage, func(text string) (err error) {
		duration, err = time.ParseDuration(text + "s")
		return err
	})
	return &duration
}

// lock is what controller-runtime makes itself, but for the name, which it takes from the host.
func lock(config *rest.Config) (resourcelock.Interface, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	identity := os.Getenv("POD_NAME") + "_" + string(uuid.NewUUID())
	return resourcelock.New(resourcelock.LeasesResourceLock, os.Getenv("NAMESPACE"), os.Getenv("LEASE_NAME"),
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: identity})
}

// work is started when the manager leads, and its context ends before the Lease is released.
type work string

func (path work) Start(ctx context.Context) error {
	if err := os.WriteFile(string(path), []byte("leads\n"), 0o644); err != nil {
		return err
	}
	<-ctx.Done()
	return os.Remove(string(path))
}
