#!/bin/sh
# Installs the browser that the tests called test_in_a_browser.py look at pages in; on Debian, as root.
set -e
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
