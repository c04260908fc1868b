// Bench measures the injector and prints the tables of docs/performance.md. It runs in the directory e2e:
// make bench-http and the other targets of the Makefile run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s-sidecar-injector/e2e/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run runs the measurement that the first argument names.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: bench http|scale|cluster|plot|constant [FLAGS]")
	}
	o := bench.Options{Out: os.Stdout}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	if args[0] == "constant" {
		port := flags.Int("port", 0, "port")
		cert := flags.String("cert", "", "certificate file")
		key := flags.String("key", "", "key file")
		response := flags.String("response", "", "file with the response")
		_ = flags.Parse(args[1:])
		return bench.ServeConstant(ctx, *port, *cert, *key, *response)
	}
	flags.StringVar(&o.Bin, "bin", ".bin", "directory of the programs")
	flags.DurationVar(&o.BenchTime, "benchtime", 5*time.Second, "duration of a contender's round")
	flags.IntVar(&o.Rounds, "rounds", 7, "number of rounds")
	flags.IntVar(&o.Clients, "clients", 8, "number of concurrent clients")
	most := flags.Int("sidecars", 10_000, "largest number of sidecars")
	settle := flags.Duration("settle", 3*time.Second, "time before memory is read")
	records := flags.String("records", "", "file for the points of the plots")
	plots := flags.String("plots", "../docs", "directory of the plots")
	_ = flags.Parse(args[1:])
	switch args[0] {
	case "http":
		return bench.HTTP(ctx, o)
	case "scale":
		return bench.Scale(ctx, bench.ScaleOptions{
			Options: o, Sizes: sizes(*most), Edits: 6, Settle: *settle, Records: *records,
		})
	case "cluster":
		return bench.Cluster(ctx, bench.ClusterOptions{Options: o, Sidecars: *most, Edits: 20})
	case "plot":
		return bench.Plot(*records, *plots)
	default:
		return fmt.Errorf("unknown measurement %s", args[0])
	}
}

// sizes returns 10 and its powers up to most.
func sizes(most int) (sizes []int) {
	for size := 10; size <= most; size *= 10 {
		sizes = append(sizes, size)
	}
	return sizes
}
