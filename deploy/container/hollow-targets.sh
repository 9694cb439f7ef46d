#!/bin/sh
# Makes an empty source for every target that Package.swift in this directory names, so that the dependencies can be
# built before, and cached apart from, the sources.
set -eu
grep -o 'name: "[^"]*"' Package.swift | cut -d '"' -f 2 | sort -u | while read -r name; do
  case $name in
    Test* | *Tests | Fuzz*) directory=Tests/$name ;;
    bench-*) directory=Benchmarks/$name ;;
    *) directory=Sources/$name ;;
  esac
  mkdir -p "$directory"
  case $name in
    # Rooms for C libraries: CLibCurl, CExpat …
    C[A-Z]*) echo "module $name {}" >"$directory/module.modulemap" ;;
    sftp-to-s3 | bench-*) : >"$directory/main.swift" ;;
    *) : >"$directory/hollow.swift" ;;
  esac
done
