"""What stands below the options in the help of each command: examples, and what they end with."""

OVERRIDES_HELP = """\
overrides (the grammar of Hydra):
  worker.count=4                     set one value
  match.seats=[expander,random]      a list; in zsh quote it: 'match.seats=[expander,random]'
  match=ffa4  env=prod               take another file of a group
  seed=null                          nothing
  `farm config` shows what they come to, `farm config --keys` explains every key.
"""

EXIT_CODES_HELP = """\
exit codes:
  0 done    2 usage    69 a port is taken, no farm answers, or shared memory is full
  70 internal error    78 the config is wrong: the message names the key
"""

MAIN_HELP = f"""\
start here:
  farm up --tail                     start a farm and watch what a client of it receives
  farm warm                          compile the kernels beforehand; a first start does it as well
  farm up worker.count=3             start a farm with three rollout workers
  farm tail                          in another terminal: subscribe, show the flow
  farm top                           watch the processes of a running farm
  farm audit                         where every record is, of a running farm or of a dead one
  farm drain                         produce nothing more, deliver what is there, then stop
  farm set worker.count=3            change a running farm; `farm reload` reads its files again
  farm config match=ffa4             what a config comes to, and where each value came from
  farm bench --list                  what can be measured
  farm logs --journal farm           what a farm under systemd has logged, for a person
  farm replay game.gior --show       watch a recorded game
  farm play --human                  play against a bot of a farm with `games=on`

{OVERRIDES_HELP}
{EXIT_CODES_HELP}
`farm COMMAND --help` tells more about each command.
"""

UP_HELP = f"""\
examples:
  farm up                            in the foreground; Ctrl-C or SIGTERM drains and stops it
  farm up --tail --seconds 30        with a client beside it, for half a minute
  farm up worker.count=3 match.board=30x30 seed=7
  farm up env=prod instance=blue serve.address=127.0.0.1:50061
  farm up --discard                  throw away what a farm of this name left, owed or not

A farm that was killed, or stopped before its groups had everything, keeps its rings in shared
memory. The next `farm up` of its name goes on with them. It refuses to start if it cannot (another
build, say) and a group is owed something: `farm drain` or --discard decides.

A first start compiles the kernels, which takes a minute or so; later ones serve within seconds.
Lines are JSON when standard output is no terminal. A second Ctrl-C or SIGTERM stops at once.

{OVERRIDES_HELP}
{EXIT_CODES_HELP}"""

WARM_HELP = f"""\
examples:
  farm warm                          compile what is not in the cache, and say how it goes
  farm warm --config-dir /etc/farm env=prod

The config is checked first: what is wrong with it is said at once, not after a minute. It may take
supervisor.warm_up_s, and tells a service manager that it needs the time. The next `farm up` of this
build serves within seconds. Kernels are kept in $FARM_CACHE_DIR, else ~/.cache/farm.

{OVERRIDES_HELP}
exit codes:
  0 done, or nothing to do    2 usage    70 it failed, or took too long
  78 the config is wrong: the message names the key
"""

TAIL_HELP = f"""\
examples:
  farm tail                          everything from the farm on this machine
  farm tail 10.0.0.5:50051 --json    one JSON line a second, for a program
  farm tail --seat 0 --min-turn 50 --policy expander
  farm tail --group --seconds 30     as a trainer would, with acknowledgements
  farm tail --group mine --seat 0    in a group of its own, which gets everything too

{EXIT_CODES_HELP}"""

TOP_HELP = f"""\
examples:
  farm top                           every child, every group of trainers, every ring that is held
  farm top --instance blue --once --json
  farm top 10.0.0.5:50051            a farm on another machine; no CPU and memory then

It reads the shared memory of the farm, so that it works on one whose processes hang or were
killed.

{EXIT_CODES_HELP}"""

AUDIT_HELP = """\
examples:
  farm audit                         from the shared memory of a farm on this machine, alive or dead
  farm audit --instance blue --json
  farm audit 10.0.0.5:50051          ask a farm on another machine

Of each ring  attempted = published + dropped (full, sampled) + aborted with a worker + in its hand,
of each group published = before + acknowledged + filtered + passed + corrupt + waiting.
What waits is counted in the rings, record by record.

exit codes:
  0 exact    2 usage    69 there is no such farm
  70 something does not add up: the last lines say where
"""

DRAIN_HELP = """\
examples:
  farm drain                         a running farm: stop the workers, deliver, stop
  farm drain --deadline 600          give the trainers ten minutes
  farm drain --instance blue         of a farm that was killed: serve what it left, without workers

It ends when every lossless group has acknowledged everything, or at the deadline. What is left then
stays in shared memory for the next `farm up` or `farm drain`. Ctrl-C leaves a running farm to it.

exit codes:
  0 everything was delivered    2 usage    69 there is no such farm, or its port is taken
  70 internal error    75 the time is over and something is left
"""

LOGS_HELP = """\
examples:
  farm logs --journal farm -f        the service of this machine: its last lines, and on
  farm logs --journal farm --level warning --since 2h
  farm logs farm.log --role rollout-0 --event 'child_*'
  farm logs farm.log --follow        on and on, also when the file is rotated; Ctrl-C ends it
  farm up | farm logs --level error  read from a pipe, as lines come
  farm logs farm.log --json --since 2026-01-31T12:30 --event child_exited

A farm logs JSON lines where no person watches; this shows them as columns. Lines that are none of
its own, such as the dump of a crash, are shown as they are, unless --role or --event is given; with
--json they become {"event": "foreign_line", "text": ...}. Times are in UTC.

exit codes:
  0 done    2 usage    69 the file or the journal cannot be read
"""

CONFIG_HELP = f"""\
examples:
  farm config                        every value, where it came from, when a change of it applies
  farm config match=ffa4 worker.count=3
  farm config --check env=prod       exit code 0 or 78, nothing started
  farm config --running              what is in force in a running farm, and its epoch
  farm config --keys                 every key: type, bounds, default, meaning
  farm config --json | jq .config.match

live: applies to a running farm; restart: replaces the children concerned; boot: at the next start.

{OVERRIDES_HELP}"""

BENCH_HELP = f"""\
examples:
  farm bench --list
  farm bench engine
  farm bench farm_to_client --seconds 30 worker.count=1
  farm bench win_rates match=official worker.games=4000
                                     a table of every two policies, 4,000 games each

The last line on standard output is one JSON object; progress is on standard error. The exit code is
70 if anything was lost or corrupt.

{OVERRIDES_HELP}"""


REPLAY_HELP = """\
examples:
  farm replay game.replay            play it again and compare: a line for each game
  farm replay --check games/*.jsonl.gz
                                     many games: those that differ, the sums, exit code 70 if any
  farm replay --check ~/.local/state/farm/default
                                     all journals of a folder, of games that go on as well
  farm replay game.gior --show       watch it; keys pause, step, change speed and seat, q quits
  farm replay game.gior --tick 120 --seat 1
                                     one still, as seat 1 saw it
  farm replay --import games.jsonl.gz -o games.replay
  farm replay games.replay --game 3 --export-text --every 50 -o game3.txt

It reads .replay files, journals of hosted games, JSON lines (.jsonl, .jsonl.gz) and official .gior
files, and knows them by their contents; of a folder it takes the .replay files and journals. A game
agrees when the state after every tick, of a journal the last one, has the recorded hash.

exit codes:
  0 done, all agree    2 usage    69 a file cannot be opened or written
  70 a file is damaged or unknown, or a game differs: the message says which
"""
