#!/bin/sh
# Installs the browser that test_in_a_browser.py looks at pages in; on Debian, as root.
set -e
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
