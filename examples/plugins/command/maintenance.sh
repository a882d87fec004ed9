#!/bin/sh
# Answers every request with 503 while the file MAINTENANCE_FILE exists. One run for each request:
#
#   [[plugins.plugins]]
#   name = "maintenance"
#   type = "command"
#   config = { exec = "examples/plugins/command/maintenance.sh", env = { MAINTENANCE_FILE = "/run/maintenance" } }
#
# The input on stdin is not needed here; a program need not read it.
if [ -e "$MAINTENANCE_FILE" ]; then
  printf '%s\n' '{"short_circuit":{"status":503,"headers":{"retry-after":"600"},"body":"Back in ten minutes\n"}}'
else
  echo '{}'
fi
