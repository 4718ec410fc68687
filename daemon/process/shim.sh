#!/bin/sh
# Runs one program apart from the daemon and keeps how it ended: shim.sh RUN_DIR STDIN PROGRAM [ARG…]
# Writes into RUN_DIR: pid ("PID STARTED BOOT SHIM_PID"), stdout, stderr, and at the end exit ({"code":0} or
# {"signal":15}). pid and exit are complete once they end in a newline: that spares a process for a rename.
# RUN_DIR/cgroup, where there is one, names the cgroup that the program is put into; the shim stays outside.
# TOWPATH_SHIM holds the id of this boot of the machine; the program does not see it.
# The braces make the shell read everything first: an upgrade may replace this file under a live shim.
{
  dir=$1 input=$2
  shift 2
  # Handlers, not '': a signal that the shim ignores would be ignored by the program too.
  trap : HUP INT QUIT TERM USR1 USR2
  # The shell says "Terminated" here when the program died by a signal, and nothing when it exited with 143.
  exec 2>"$dir/notice"
  # In the foreground, because a background job of sh ignores SIGINT.
  (
    if [ -r /proc/self/stat ]; then
      read -r pid _ _ shim _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ started _ </proc/self/stat
      boot=${TOWPATH_SHIM:-unknown}
    else
      pid=$(exec sh -c 'echo "$PPID"') shim=$$ started=- boot=-
    fi
    # A program whose pid cannot be kept is not started: nobody could find it again.
    if ! echo "$pid $started $boot $shim" >"$dir/pid"; then exit 126; fi
    # Without it the program runs all the same: it is found by its parents and its environment.
    if [ -r "$dir/cgroup" ] && read -r cgroup <"$dir/cgroup"; then
      echo 0 2>/dev/null >"$cgroup/cgroup.procs" || :
    fi
    case $1 in
      */*)
        if [ ! -e "$1" ]; then
          echo "towpath: cannot start $1: no such file" >&2
          exit 127
        elif [ -d "$1" ] || [ ! -x "$1" ]; then
          echo "towpath: cannot start $1: not an executable file" >&2
          exit 126
        fi
        ;;
      *)
        if ! command -v "$1" >/dev/null; then
          echo "towpath: cannot start $1: not found in PATH" >&2
          exit 127
        fi
        ;;
    esac
    unset TOWPATH_SHIM
    exec "$@"
  ) 2>>"$dir/stderr" <"$input" >>"$dir/stdout"
  code=$?
  end="\"code\":$code"
  if [ "$code" -gt 128 ]; then
    # No shell speaks of SIGINT and SIGPIPE: there 128 + n is taken for the signal.
    case $code in
      130 | 141) said=1 ;;
      *) if [ -s "$dir/notice" ]; then said=1; else said=0; fi ;;
    esac
    if [ "$said" = 1 ]; then end="\"signal\":$((code - 128))"; fi
  fi
  # A full disk must not cost the exit code: try until there is room, or until the folder is gone.
  until echo "{$end}" >"$dir/exit"; do
    if [ ! -d "$dir" ]; then exit 1; fi
    sleep 1
  done
  exit 0
}
