#!/bin/sh
# An agent of curl and jq: every answer of the model is a shell command, and DONE ends it.
set -eu
talk=$SYNTHBENCH_AGENT_FOLDER/talk.json
rules="Answer with one shell command and nothing else; DONE when the work is done."
jq -n --arg rules "$rules" --rawfile task "$SYNTHBENCH_INSTRUCTION_FILE" \
    '[{role: "system", content: $rules}, {role: "user", content: $task}]' >"$talk"

while :; do
    said=$(jq '{model: "default", messages: .}' "$talk" |
        curl -sSf -H "content-type: application/json" -H "authorization: Bearer $OPENAI_API_KEY" \
            -d @- "$OPENAI_BASE_URL/chat/completions" | jq -r '.choices[0].message.content')
    [ "$said" != DONE ] || break
    saw=$(sh -c "$said" 2>&1) || saw="$saw (exit code $?)"
    jq --arg said "$said" --arg saw "$saw" \
        '. + [{role: "assistant", content: $said}, {role: "user", content: $saw}]' "$talk" >"$talk.new"
    mv "$talk.new" "$talk"
done
