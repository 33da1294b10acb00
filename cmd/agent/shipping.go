package main

import (
	"crypto/rand"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// shipper returns what the options say about delivery.
func (o *options) shipper(log *zap.Logger) shipper.Options {
	out := shipper.Options{
		SpoolDir:       o.SpoolDir,
		SpoolBytes:     int64(o.SpoolBudget),
		Replay:         o.SpoolReplay,
		IndexPrefix:    o.ESIndex,
		Username:       o.ESUser,
		PasswordFile:   o.ESPasswordFile,
		APIKeyFile:     o.ESAPIKeyFile,
		CAFile:         o.ESCAFile,
		NoTemplate:     !o.ESTemplate,
		Retention:      time.Duration(o.Retention),
		NoProductCheck: !o.ESProductCheck,
		Encoder:        o.encoder(o.ShipInterval),
		Version:        versionString(),
		Log:            log.Named("shipper"),
	}
	if o.SpoolReplay == 0 {
		out.Replay = -1 // the zero value is the default there
	}
	if o.StorageDriver == "elasticsearch" {
		out.Addresses = strings.Split(o.ESHost, ",")
	}
	return out
}

// encoder returns what documents say of the agent: its version, and an id of this run.
func (o *options) encoder(interval time.Duration) shipper.EncoderOptions {
	return shipper.EncoderOptions{AgentVersion: versionString(), EphemeralID: rand.Text(), Interval: interval}
}
