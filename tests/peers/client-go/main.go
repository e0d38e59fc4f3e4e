// Command client-go-peer is a leader election sidecar as client-go makes it
// easy to write: it contends for a Lease and keeps a file while it leads.
//
// It gives client-go its best case. The file goes when the library cancels the
// context of the work, before the Lease is released, and not only in
// OnStoppedLeading, which the library calls after the release; a request
// cannot outlast half the renew deadline; a loss is followed by a new candidacy.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// settings come from the environment, and the timings from flags, all named as our agent's.
type settings struct {
	lease, namespace, kubeconfig, statusFile, identity string
	leaseDuration, renewDeadline, retryPeriod          int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, read()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func read() settings {
	var s settings
	flag.IntVar(&s.leaseDuration, "lease-duration-seconds", 15, "how long others wait for a silent leader")
	flag.IntVar(&s.renewDeadline, "renew-deadline-seconds", 10, "how long a leader tries to renew")
	flag.IntVar(&s.retryPeriod, "retry-period-seconds", 2, "time between two tries")
	flag.Parse()
	s.lease = os.Getenv("LEASE_NAME")
	s.namespace = os.Getenv("NAMESPACE")
	s.kubeconfig = os.Getenv("KUBECONFIG")
	s.statusFile = orElse(os.Getenv("STATUS_FILE"), "/tmp/leader_status")
	hostname, _ := os.Hostname()
	s.identity = orElse(os.Getenv("IDENTITY"), orElse(os.Getenv("POD_NAME"), hostname))
	return s
}

func orElse(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// run contends until ctx is cancelled.
func run(ctx context.Context, s settings) error {
	client, err := connect(s)
	if err != nil {
		return err
	}
	file := statusFile{path: s.statusFile, content: s.identity}
	// An earlier process may have left one.
	file.remove()
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(config(s, client, &file))
		if err != nil {
			return err
		}
		elector.Run(ctx)
	}
	return nil
}

// connect uses the kubeconfig, or the pod's service account where there is none.
func connect(s settings) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.Timeout = seconds(s.renewDeadline) / 2
	return kubernetes.NewForConfig(config)
}

func config(s settings, client *kubernetes.Clientset, file *statusFile) leaderelection.LeaderElectionConfig {
	return leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: s.lease, Namespace: s.namespace},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: s.identity},
		},
		LeaseDuration:   seconds(s.leaseDuration),
		RenewDeadline:   seconds(s.renewDeadline),
		RetryPeriod:     seconds(s.retryPeriod),
		ReleaseOnCancel: true,
		Name:            s.lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: file.keep,
			OnStoppedLeading: file.remove,
		},
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
