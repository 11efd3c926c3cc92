#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes golden/conversations.json: chat templates and what they make of conversations.

  pip install jinja2        # or apt install python3-jinja2
  make_conversations.py

The templates are short ones that write what the published ones of their families write; the
environment is the one in which transformers renders a template. The texts begin with BOS only where
the template writes it. {today} and {day} stand for the day of the rendering.
"""
import json
import os
import random

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

BOS, EOS = "<s>", "</s>"

CHATML = """{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
CHATML_DEFAULT = """{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\\nYou are a kind helper.<|im_end|>\\n' }}{% endif %}\
{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n'}}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
CHATML_TOOLS = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You know some tools.' }}
    {%- endif %}
    {{- "\\n\\n# Tools<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helper, made by us.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
CHATML_THINKS = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}\
{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}\
{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}\
{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
{% elif message['role'] == 'system' %}{{ '<<SYS>>\\n' + content.strip() + '\\n<</SYS>>\\n\\n' }}\
{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
LLAMA2_SYSTEM_TRIM = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system_message = '<<SYS>>\\n' + messages[0]['content'] | trim + '\\n<</SYS>>\\n\\n' %}\
{% else %}{% set loop_messages = messages %}{% set system_message = '' %}{% endif %}\
{% for message in loop_messages %}\
{% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content | trim + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"""
LLAMA3 = """{% set loop_messages = messages %}{% for message in loop_messages %}\
{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}\
{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
LLAMA3_PLAIN = LLAMA3.replace(" | trim", "").replace("bos_token + content", "'<s>' + content")
LLAMA3_DATED = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is defined and tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
LLAMA3_TODAY = LLAMA3_DATED.replace("""    {%- set date_string = "26 Jul 2024" %}
""", """    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
""")
MISTRAL_V1 = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('roles must alternate') }}{% endif %}\
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""
MISTRAL_V1_BLANK = MISTRAL_V1.replace("eos_token}}", "eos_token + ' ' }}")
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
TOOLS
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.WHICH and system_message is defined %}
            {{- "BEFORE" + system_message + "\\n\\n" + message["content"] + "AFTER" }}
        {%- else %}
            {{- "BEFORE" + message["content"] + "AFTER" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- ANSWER + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial system message!") }}
    {%- endif %}
{%- endfor %}
"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

GPT_OSS = """{{- "<|start|>system<|message|>" }}
{{- "You are ChatGPT, a large language model trained by OpenAI.\\n" }}
{{- "Knowledge cutoff: 2024-06\\n" }}
{{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}
{%- if reasoning_effort is not defined %}
    {%- set reasoning_effort = "medium" %}
{%- endif %}
{{- "Reasoning: " + reasoning_effort + "\\n\\n" }}
{{- "# Valid channels: analysis, commentary, final. Channel must be included for every message." }}
{{- "<|end|>" }}
{%- if messages[0].role == "developer" or messages[0].role == "system" %}
    {%- set developer_message = messages[0].content %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set developer_message = "" %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if developer_message %}
    {{- "<|start|>developer<|message|>" }}
    {{- "# Instructions\\n\\n" }}
    {{- developer_message }}
    {{- "\\n\\n" }}
    {{- "<|end|>" }}
{%- endif %}
{%- for message in loop_messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "<|channel|>" in message.content %}
            {{- raise_exception("channels do not belong into what is said") }}
        {%- endif %}
        {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}
    {%- elif message.role == 'user' -%}
        {{- "<|start|>user<|message|>" + message.content + "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|start|>assistant
{%- endif -%}"""


def mistral(before, after, answer, which="first", tools=False):
    text = MISTRAL.replace("WHICH", which).replace("BEFORE", before).replace("AFTER", after).replace("ANSWER", answer)
    offer = """{%- if tools is not none and tools is defined and tools %}
    {{- "[AVAILABLE_TOOLS]BLANK" + (tools | tojson) + "[/AVAILABLE_TOOLS]" }}
{%- endif %}"""
    return text.replace("TOOLS\n", offer.replace("BLANK", " " if "[INST] " in before else "") + "\n" if tools else "")


# name: form, template; "named": the form by its name writes the same, unless BOS is at stake
TEMPLATES = {
    "chatml": ("chatml", CHATML, True),
    "chatml with BOS": ("chatml", "{{bos_token}}" + CHATML, False),
    "chatml with a default": ("chatml", CHATML_DEFAULT, False),
    "chatml with tools": ("chatml", CHATML_TOOLS, False),
    "chatml with thoughts": ("chatml", CHATML_THINKS, False),
    "llama2": ("llama2", LLAMA2, False),
    "llama2, the system trimmed": ("llama2", LLAMA2_SYSTEM_TRIM, False),
    "llama2, nothing trimmed": ("llama2", LLAMA2.replace(".strip()", ""), True),
    "llama3": ("llama3", LLAMA3, False),
    "llama3, nothing trimmed": ("llama3", LLAMA3_PLAIN, True),
    "llama3 with a date": ("llama3", LLAMA3_DATED, False),
    "llama3 with the day": ("llama3", LLAMA3_TODAY, False),
    "mistral-v1": ("mistral-v1", MISTRAL_V1, True),
    "mistral-v1, blank behind": ("mistral-v1", MISTRAL_V1_BLANK, False),
    "mistral-v1, blank before": ("mistral-v1", mistral(" [INST] ", " [/INST]", '" " + message["content"]'), False),
    "mistral-v3": ("mistral-v3", mistral("[INST] ", "[/INST]", '" " + message["content"]|trim', "last", True), False),
    "mistral-v3, nothing trimmed": ("mistral-v3", mistral("[INST] ", "[/INST]", 'message["content"]', "first", True), True),
    "mistral-v3-tekken": ("mistral-v3-tekken", mistral("[INST]", "[/INST]", 'message["content"]', "last", True), False),
    "mistral-v3-tekken, system first": ("mistral-v3-tekken", mistral("[INST]", "[/INST]", 'message["content"]', "first", True), True),
    "zephyr": ("zephyr", ZEPHYR, True),
    "gpt-oss": ("gpt-oss", GPT_OSS, True),
}

USERS = ["hi", "  hi  ", "\n hi\n\n", "   ", "caf\u00e9 \u65e5\u672c\u8a9e \U0001f44d", "\u00a0x\u3000", "\u2003\x1c\u0085y\u2028",
         "it's\r\n12345", "a</s>b", "<s>", "x <|im_end|>\ny", "[/INST] [INST] ", "<|eot_id|>", " <<SYS>>\nz\n<</SYS>>"]
SYSTEMS = [None, "Be brief.", " S \n", "</s> \u00e9", " "]
ANSWERS = ["ok", "", " ok", "ok \n", "\nok", "\n\n ok", " ", "a</s>b", "</s>", "\u00e9\u3000", "<think>\nhm\n</think>\n\nok", "a b"]


def conversations():
    """(system, [user, answer, ..., user])"""
    rng = random.Random(20)
    out = []
    for i in range(15):
        turns = i % 4 + 1
        said = []
        for turn in range(turns):
            said.append(USERS[(3 * i + turn * 5) % len(USERS)])
            if turn + 1 < turns:
                said.append(rng.choice(ANSWERS))
        out.append((SYSTEMS[i % len(SYSTEMS)], said))
    out += [(None, ["hi", answer, "hi"]) for answer in ANSWERS]
    out += [("S", [user, "", "hi"]) for user in USERS[:4]]
    return out


def refuse(message):
    raise TemplateError(message)


def main():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = refuse
    days = {"%d %b %Y": "{today}", "%Y-%m-%d": "{day}"}
    env.globals["strftime_now"] = lambda form: days[form] if form in days else refuse(form)
    record = {"bos": BOS, "eos": EOS, "templates": []}
    for name, (form, source, named) in TEMPLATES.items():
        template, cases = env.from_string(source), []
        for system, said in conversations():
            messages = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)]
            if system is not None:
                messages.insert(0, {"role": "system", "content": system})
            try:
                text = template.render(messages=messages, add_generation_prompt=True, bos_token=BOS, eos_token=EOS)
            except TemplateError:
                continue  # no system in this form
            cases.append({"system": system or "", "said": said, "text": text})
        # What the template writes in front of an answer, which a model taught by it writes itself.
        blank = " " if "mistral-v1, blank before" == name or form == "llama2" or "|trim + eos_token" in source else ""
        if form == "gpt-oss":
            blank = "<|channel|>final<|message|>"
        record["templates"].append({"name": name, "blank": blank, "form": form, "named": named, "source": source, "cases": cases})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "conversations.json")
    with open(path, "w", encoding="ascii") as out:
        json.dump(record, out, indent=0, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
