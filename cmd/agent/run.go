package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// runAgent measures and ships until ctx ends.
func (p program) runAgent(ctx context.Context, args []string) error {
	o, rest, err := parseOptions(args, p.environ, p.stdout)
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("%q is not an option; options begin with a dash, and the command stands before them", rest[0])}
	}
	if err := o.checkStart(); err != nil {
		return usageError{err}
	}
	if p.ownProcess {
		slackenTimers()
	}
	runtime.GOMAXPROCS(o.procs())
	log := newLog(o.LogLevel, o.LogFormat, p.stderr)
	if p.ownProcess {
		os.Args = withoutPasswords(os.Args) // what /debug/pprof/cmdline shows
		limitMemory(p.environ, log)
		if err := shut(); err != nil {
			log.Warn("the process isn't closed to others of the node", zap.Error(err))
		}
	}
	o.report(log)
	auth, err := o.auth(log)
	if err != nil {
		return err
	}

	listener, err := net.Listen("tcp", net.JoinHostPort(o.ListenIP, strconv.Itoa(o.Port)))
	if unresolved := (*net.DNSError)(nil); errors.As(err, &unresolved) && unresolved.IsNotFound {
		return usageError{fmt.Errorf("-listen_ip can't be %q, which has no address; it is an address of this machine, such as 127.0.0.1, or empty for all of them", o.ListenIP)}
	}
	if err != nil {
		return fmt.Errorf("can't listen on port %d: %w; choose another with -port, or an address of this machine with -listen_ip", o.Port, err)
	}
	parts, err := openParts(o, log)
	if err != nil {
		listener.Close()
		return err
	}
	defer parts.close()
	parts.warn(o, log)

	self := newSelf(parts.cgroups)
	defer self.close()
	out, err := p.output(ctx, o, self, log)
	if err != nil {
		listener.Close()
		return err
	}
	loop, err := parts.collector(ctx, o, out.sink, log)
	if err != nil {
		listener.Close()
		return err
	}
	self.loop = loop
	if p.ownProcess {
		if err := giveUp(o.capabilities()); err != nil {
			log.Warn("capabilities that aren't needed are kept", zap.Error(err))
		}
	}
	log.Info("swarmgauge measures this node", zap.String("version", versionString()),
		zap.Stringer("cgroup", parts.cgroups.Mode()), zap.Duration("interval", o.HousekeepingInterval),
		zap.String("output", o.destination()), zap.Stringer("address", listener.Addr()))

	kibana, err := o.kibanaSetup(log)
	if err != nil {
		listener.Close()
		return err
	}
	state := &state{options: o, parts: parts, loop: loop, shipper: out.shipper, kibana: kibana, auth: auth, started: time.Now()}
	return state.run(ctx, listener, out, log)
}

// output is where documents go.
type output struct {
	sink    collector.Sink
	shipper *shipper.Shipper // nil for stdout
}

func (p program) output(ctx context.Context, o *options, self *self, log *zap.Logger) (output, error) {
	lines := func() *shipper.Lines {
		return shipper.NewLines(p.stdout, o.encoder(o.ShipInterval), self.tell, log)
	}
	if o.StorageDriver == "stdout" {
		return output{sink: lines()}, nil
	}
	options := o.shipper(log)
	options.Self = self.tell
	s, err := shipper.New(ctx, options)
	if err != nil {
		return output{}, err
	}
	if o.PrintToo {
		return output{twoSinks{s, lines()}, s}, nil
	}
	return output{s, s}, nil
}

// run runs everything until ctx ends, then ends it in the order of the data's way: no
// new samples, then the last batch, then the answers about them.
func (s *state) run(ctx context.Context, l net.Listener, out output, log *zap.Logger) error {
	outlive := context.WithoutCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { saveMemory(ctx) })
	if s.kibana != nil {
		running.Go(func() { s.kibana.run(ctx) })
	}
	if out.shipper != nil {
		running.Go(func() { out.shipper.Run(outlive) })
	}
	serving, stopServing := context.WithCancel(outlive)
	defer stopServing()
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(serving, l, web.Handler(s.web(log.Named("web"))))
	}()

	err := s.loop.Run(ctx)
	log.Info("ending: publishing what is held")
	if out.shipper != nil {
		out.shipper.Close()
	}
	running.Wait()
	stopServing()
	return errors.Join(err, <-served)
}

// warn says once, in doctor's words, that the agent goes on with what its container has of
// /proc, because the node's isn't mounted. That only a part of the cgroups is to be seen is a
// note.
func (p *parts) warn(o *options, log *zap.Logger) {
	c := checks{o: o, where: placeHere(), proc: p.proc}
	for _, f := range c.ofProc() {
		if m := f.mend.line(c.where); f.Status == shipper.Fault && m != nil {
			log.Warn(f.Text, zap.Stringer("mend", m))
		}
	}
}

// report says once what in the options has no effect, or an unwanted one.
func (o *options) report(log *zap.Logger) {
	for _, name := range o.ignored {
		log.Info(ignoredSentence(name))
	}
	for _, sentence := range append(o.unmet(), o.unknown...) {
		log.Warn(sentence)
	}
	if o.passwordShown {
		log.Warn(passwordSentence)
	}
}

const passwordSentence = "a command line can be read by everybody on the node, and -storage_driver_es_host or -kibana-host has a password in it: use -es-user and -es-password-file, -kibana-user and -kibana-password-file"

// destination says in a few words where documents go.
func (o *options) destination() string {
	switch o.StorageDriver {
	case "elasticsearch":
		to := "Elasticsearch at " + redact(o.ESHost)
		if o.PrintToo {
			to += ", and to standard output"
		}
		return to
	case "stdout":
		return "standard output"
	}
	return "the spool in " + o.SpoolDir + ", until an Elasticsearch is configured"
}

// redact takes user and password out of a list of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		scheme := ""
		if s, rest, ok := strings.Cut(u, "://"); ok {
			scheme, u = s+"://", rest
		}
		list[i] = scheme + u[strings.LastIndexByte(u, '@')+1:]
	}
	return strings.Join(list, ",")
}
