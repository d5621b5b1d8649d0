#!/bin/bash
set -e
dpkg -i /debs/*.deb
pip install --no-index --find-links /wheels --break-system-packages itsdangerous
tree /app > /app/served.log
nohup python3 /solution/serve.py "$NAME" >> /app/served.log 2>&1 &
for _ in $(seq 50); do
    python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:8080/")' 2>/dev/null && exit 0
    sleep 0.1
done
exit 1
