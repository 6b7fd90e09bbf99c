"""Python clients as they are published, driven line by line: a task as JSON on stdin, what became of it as JSON on stdout."""

import json
import sys

import anthropic
import openai


def chat(client, task):
    options = dict(openai_options(task), messages=[{"role": "user", "content": task["prompt"]}])
    if not task.get("stream"):
        answer = client.chat.completions.create(**options)
        return [choice.message.content or "" for choice in answer.choices], answer.choices[0].finish_reason
    return gather(
        task,
        client.chat.completions.create(**options, stream=True),
        lambda chunk: (chunk.choices[0].delta.content, chunk.choices[0].finish_reason) if chunk.choices else (None, None),
    )


def completions(client, task):
    options = dict(openai_options(task), prompt=task["prompt"])
    if not task.get("stream"):
        answer = client.completions.create(**options)
        return [choice.text for choice in answer.choices], answer.choices[0].finish_reason
    return gather(
        task,
        client.completions.create(**options, stream=True),
        lambda chunk: (chunk.choices[0].text, chunk.choices[0].finish_reason) if chunk.choices else (None, None),
    )


def responses(client, task):
    options = {"model": task["model"], "input": task["prompt"], "max_output_tokens": task["maxTokens"], "temperature": 0}
    if not task.get("stream"):
        answer = client.responses.create(**options)
        return [answer.output_text], response_finish(answer)

    def read(event):
        ended = event.type in ("response.completed", "response.incomplete")
        return event.delta if event.type == "response.output_text.delta" else None, response_finish(event.response) if ended else None

    return gather(task, client.responses.create(**options, stream=True), read)


def messages(client, task):
    options = {
        "model": task["model"],
        "max_tokens": task["maxTokens"],
        "messages": [{"role": "user", "content": task["prompt"]}],
        # The package's way to say what newer models do not take.
        "extra_body": {"temperature": 0},
    }
    if "stop" in task:
        options["stop_sequences"] = [task["stop"]]
    if not task.get("stream"):
        answer = client.messages.create(**options)
        return ["".join(block.text for block in answer.content if block.type == "text")], answer.stop_reason

    def read(event):
        text = event.delta.text if event.type == "content_block_delta" and event.delta.type == "text_delta" else None
        return text, event.delta.stop_reason if event.type == "message_delta" else None

    return gather(task, client.messages.create(**options, stream=True), read)


def openai_options(task):
    names = {"model": "model", "maxTokens": "max_tokens", "stop": "stop", "n": "n"}
    return {"temperature": 0, **{field: task[name] for name, field in names.items() if name in task}}


def response_finish(answer):
    return answer.incomplete_details.reason if answer.incomplete_details else answer.status


def gather(task, stream, read):
    """Reads a stream, or leaves it after as many pieces of text as the task says."""
    pieces, finish = [], None
    with stream:
        for event in stream:
            text, reason = read(event)
            finish = reason or finish
            if text:
                pieces.append(text)
            if len(pieces) == task.get("leaveAfter"):
                return ["".join(pieces)], None
    return ["".join(pieces)], finish


CLIENTS = {
    "chat": (lambda url, key: openai.OpenAI(base_url=f"{url}/v1", api_key=key), chat),
    "completions": (lambda url, key: openai.OpenAI(base_url=f"{url}/v1", api_key=key), completions),
    "responses": (lambda url, key: openai.OpenAI(base_url=f"{url}/v1", api_key=key), responses),
    "messages": (lambda url, key: anthropic.Anthropic(base_url=url, api_key=key), messages),
}


def outcome(order):
    create, say = CLIENTS[order["client"]]
    try:
        texts, finish = say(create(order["url"], order["secret"]), order["task"])
        return {"texts": texts, "finish": finish}
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return {"status": error.status_code, "message": str(error)}


for line in sys.stdin:
    print(json.dumps(outcome(json.loads(line))), flush=True)
