package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// The values of --log-format. The default depends on the output.
const (
	formatJSON    = "json"
	formatConsole = "console"
)

// loggingOptions configure the log.
type loggingOptions struct {
	flags     *pflag.FlagSet
	level     string
	format    string
	verbosity string
}

func (o *loggingOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.level, "log-level", "info", "debug, info, warn or error")
	bindEnv(flags, "log-level", "LOG_LEVEL")
	flags.StringVar(&o.format, "log-format", "",
		"json or console (default json, but console on a terminal and with --dev)")
	bindEnv(flags, "log-format", "LOG_FORMAT")
	flags.StringVarP(&o.verbosity, "v", "v", "", "numeric log level of the original")
	flags.Bool("logtostderr", true, "ignored; the log always goes to standard error")
	for _, legacy := range []string{"v", "logtostderr"} {
		flags.Lookup(legacy).Hidden = true
	}
}

func (o *loggingOptions) Validate() error {
	_, err := o.parseLevel()
	switch o.format {
	case "", formatJSON, formatConsole:
		return err
	}
	return aggregate(err,
		flagError(o.flags, "log-format", "%q is neither %s nor %s", o.format, formatJSON, formatConsole))
}

// parseLevel returns the level, or info and an error. The original's flag --v overrides the variable LOG_LEVEL.
func (o *loggingOptions) parseLevel() (zerolog.Level, error) {
	name, text := "log-level", o.level
	if setOnCommandLine(o.flags, "v") && !setOnCommandLine(o.flags, "log-level") {
		name, text = "v", o.verbosity
	}
	level, err := parseLevel(text)
	if err != nil {
		return zerolog.InfoLevel, flagError(o.flags, name, "%w", err)
	}
	return level, nil
}

// parseLevel parses the name of a level or a number of the original: 0 to 3 are info, higher numbers are debug.
func parseLevel(text string) (zerolog.Level, error) {
	switch text {
	case "debug", "info", "warn", "error":
		return zerolog.ParseLevel(text)
	case "warning":
		return zerolog.WarnLevel, nil
	}
	number, err := strconv.Atoi(text)
	switch {
	case err != nil || number < 0:
		return zerolog.NoLevel, fmt.Errorf("%q is none of debug, info, warn, error", text)
	case number > 3:
		return zerolog.DebugLevel, nil
	}
	return zerolog.InfoLevel, nil
}

// newLogger returns the logger of the daemon and its buffered output, which the caller must close. Invalid options
// are replaced by the defaults, so that the start can log before it fails.
func (o *loggingOptions) newLogger(stderr io.Writer, dev bool) (zerolog.Logger, *logWriter) {
	w := newLogWriter(stderr)
	level, _ := o.parseLevel()
	log := zerolog.New(o.encoder(w, isTerminal(stderr), dev)).Level(level).Hook(timestamp{})
	w.start(func(lines uint64) {
		log.Warn().Uint64("lines", lines).Msg("log lines dropped: the reader of standard error is too slow")
	})
	return log, w
}

// encoder returns a writer that converts the lines of zerolog to the format.
func (o *loggingOptions) encoder(w io.Writer, terminal, dev bool) io.Writer {
	if o.format == formatConsole || o.format == "" && (dev || terminal) {
		return zerolog.ConsoleWriter{Out: w, NoColor: !terminal, TimeFormat: time.TimeOnly}
	}
	return w
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// timestamp adds the time in UTC with milliseconds. It does not use the global variables of zerolog.
type timestamp struct{}

// Run implements zerolog.Hook.
func (timestamp) Run(event *zerolog.Event, _ zerolog.Level, _ string) {
	event.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
