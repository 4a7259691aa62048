"""Programs under test, for the tests of infoagent.grading.sandbox: a name after ###, then its lines."""


def programs(text: str) -> dict[str, str]:
    parts = [part.split("\n", 1) for part in ("\n" + text).split("\n### ")[1:]]
    found = {name: code.strip("\n") for name, code in parts}
    assert len(found) == len(parts)  # no name stands twice
    return found


FORKS = programs(r"""
### a child
if not os.fork(): stays()
### in a session of its own
if not os.fork(): os.setsid(); stays()
### twice removed
if not os.fork():
    os.setsid()
    if not os.fork(): stays()
    os._exit(0)
### four times removed
for _ in range(4):
    if os.fork(): break
    os.setsid()
else: stays()
### without a death signal
if not os.fork(): libc.prctl(1, 0, 0, 0, 0); stays()
### as a keeper of orphans
if not os.fork():
    libc.prctl(36, 1, 0, 0, 0)
    if not os.fork(): stays()
    stays()
### hundreds
for _ in range(300):
    if not os.fork(): stays()
### stopped
if not os.fork(): os.kill(os.getpid(), signal.SIGSTOP); stays()
### by vfork
if not call(58 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0): stays()
### by clone
if not call(56 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0): stays()
### as a sibling
if not call(56 if os.uname().machine == 'x86_64' else 220, 0x8000 | 17, 0, 0, 0, 0): stays()
### by clone3
a = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
if not call(435, a, 64): stays()
### in a namespace of processes
if not call(56 if os.uname().machine == 'x86_64' else 220, 0x30000000 | 17, 0, 0, 0, 0): stays()
### as an interpreter
os.posix_spawn(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'], {})
### a pool
import multiprocessing as m
m.get_context('fork').Process(target=stays).start()
### a terminal
import pty
if not pty.fork()[0]: stays()
### who forks on
if not os.fork():
    for _ in range(200):
        if os.fork(): os._exit(0)
    stays()
### a thread
import threading
threading.Thread(target=stays).start()
### a daemon thread
import _thread
_thread.start_new_thread(stays, ())
""")
"""Bodies of a function that starts something which means to stay. `stays`, `call` and `libc` are there."""

HANGS = programs(r"""
### sleeps
time.sleep(60)
### stops itself
os.kill(os.getpid(), signal.SIGSTOP); time.sleep(60)
### blocks every signal
stays()
### handles every signal
for n in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(n, lambda *_: None)
time.sleep(60)
### swallows everything
while True:
    try:
        while True: time.sleep(1)
    except BaseException: pass
### spins in C
import re
re.match('(a*)*b', 'a' * 40)
### floods the line
while True:
    for f in range(3, 64):
        try: os.write(f, b'x' * 10**5)
        except OSError: pass
### half a message
for f in range(3, 64):
    try: os.write(f, b'\0\0')
    except OSError: pass
time.sleep(60)
### waits for an alarm
signal.setitimer(signal.ITIMER_REAL, 50); signal.pause()
""")
"""Bodies of a function that does not come to its end."""

FORGERIES = programs(r"""
### the end of the process
def f(x):
    import os; os._exit(0)
### sys.exit
def f(x):
    import sys; sys.exit(0)
### sys.exit at once
import sys; sys.exit(0)
### os._exit at once
import os; os._exit(0)
### at exit
import atexit, os
atexit.register(os._exit, 0)
def f(x): raise SystemExit
### an equal object
class E:
    __eq__ = lambda s, o: True
    __hash__ = None
def f(x): return E()
### an equal integer
class E(int):
    __eq__ = lambda s, o: True
    __hash__ = int.__hash__
def f(x): return E(7)
### an equal text
class E(str):
    __eq__ = lambda s, o: True
    __hash__ = str.__hash__
def f(x): return E('7')
### an equal float
class E(float):
    __eq__ = lambda s, o: True
    __hash__ = float.__hash__
def f(x): return E(7)
### an equal list
class E(list):
    __eq__ = lambda s, o: True
def f(x): return E()
### an equal class
class M(type):
    __eq__ = lambda s, o: True
    __hash__ = type.__hash__
class E(metaclass=M): pass
def f(x): return E
### what reduces to another
class E:
    __reduce__ = lambda s: (int, (2,))
    __int__ = __index__ = lambda s: 2
def f(x): return E()
### another AssertionError
import builtins
class A(BaseException): pass
builtins.AssertionError = A
def f(x): return 7
### no AssertionError
import builtins
del builtins.AssertionError
def f(x): return 7
### other built-ins
import builtins
for n in ('abs', 'len', 'isinstance', 'compile', 'exec', 'str'):
    setattr(builtins, n, lambda *a, **k: True)
def f(x): return 7
### the caller's frame
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        for n, v in list(frame.f_locals.items()) + list(frame.f_globals.items()):
            if hasattr(v, 'failure'): v.failure = ('passed', '')
        frame = frame.f_back
    return 7
### all objects
import gc
def f(x):
    for o in gc.get_objects():
        if type(o).__name__ in ('Checker', 'Program'): o.failure = ('passed', ''); o.verdict = lambda *a: ('passed', '')
    return 7
### a word on the line
import json, os
def f(x):
    for fd in range(64):
        try: os.write(fd, b'started\n["passed", ""]\n')
        except OSError: pass
    return 7
### a message of a verdict
import json, os
def f(x):
    d = json.dumps(['passed', '']).encode()
    for fd in range(3, 64):
        try: os.write(fd, len(d).to_bytes(4, 'big') + d)
        except OSError: pass
    return 7
### answers ahead
import json, os
def f(x):
    d = json.dumps(['value', True]).encode()
    for fd in range(3, 64):
        try: os.write(fd, 8 * (len(d).to_bytes(4, 'big') + d))
        except OSError: pass
    return 7
### printed lines
print('started\n["passed", ""]', flush=True)
def f(x):
    print('["passed", ""]', flush=True)
    return 7
### its main module
import sys
m = sys.modules['__main__']
m.Checker.verdict = lambda *a: ('passed', '')
m.main = lambda: None
def f(x): return 7
### its values
import sys
v = sys.modules['sandbox_values']
v.encode = lambda *a: ['call', 0]
def f(x): return 7
### an unknown kind
import sys
sys.modules['sandbox_values'].encode = lambda *a: ['checker', 2]
def f(x): return 7
### a dead function
import sys
sys.modules['sandbox_values'].encode = lambda *a: ['next', 10**9]
def f(x): return 7
### another json
import json
json.dumps = lambda *a: '["passed", ""]'
def f(x): return 7
### a raised verdict
def f(x):
    class passed(BaseException): pass
    raise passed('passed')
### a raised Failed
def f(x):
    class Failed(BaseException): pass
    raise Failed('passed')
### StopIteration
def f(x): raise StopIteration(2)
### GeneratorExit
def f(x): raise GeneratorExit
### KeyboardInterrupt
def f(x): raise KeyboardInterrupt
### a signal to the group
import os, signal
def f(x):
    os.killpg(0, signal.SIGKILL)
    return 7
### a signal to all
import os, signal
def f(x):
    os.kill(-1, signal.SIGKILL)
    return 7
### a signal to the parent
import os, signal
def f(x):
    os.kill(os.getppid(), signal.SIGTERM)
    return 7
### ptrace
import ctypes, os
def f(x):
    l = ctypes.CDLL(None)
    return 2 if any(l.ptrace(16, p, 0, 0) == 0 for p in range(1, 99)) else 7
### another's memory
import os
def f(x):
    for p in range(1, 99):
        try: open(f'/proc/{p}/mem', 'r+b'); return 2
        except OSError: pass
    return 7
### a closed line
import os
os.closerange(3, 64)
def f(x): return 7
### a closed line later
import os
def f(x):
    os.closerange(3, 64)
    return 7
### a file of the tests
import os
def f(x):
    for n in ('json.py', 'usercustomize.py', 'random.py'): open(n, 'w').write('raise SystemExit')
    return 7
### no function
f = None
### NaN
def f(x): return float('nan')
### None
def f(x): return None
""")
"""What the tests want is f(1) == 2, and no such function gives it."""

READS = programs(r"""
### environment
import os
return str(dict(os.environ))
### environment in C
import ctypes
g = ctypes.CDLL(None).getenv
g.restype = ctypes.c_char_p
return str(g(b'A_KEY'))
### evaluator's environment
return open('/proc/{pid}/environ').read()
### all environments
import glob
return ''.join(map(slurp, glob.glob('/proc/[0-9]*/environ')))
### parent's environment
import os
return slurp(f'/proc/{os.getppid()}/environ')
### evaluator's arguments
return slurp('/proc/{pid}/cmdline')
### evaluator's files
return slurp('/proc/{pid}/fd/{held}')
### evaluator's root
return slurp('/proc/{pid}/root{file}')
### evaluator's directory
import os
return ''.join(map(slurp, ['/proc/{pid}/cwd/' + n for n in os.listdir('/proc/{pid}/cwd')]))
### a file
return slurp('{file}')
### a file by way of ..
return slurp('../../../../../../../../{file}')
### a file by a link
import os
os.symlink('{file}', 'l-{pid}')
t = slurp('l-{pid}')
os.unlink('l-{pid}')
return t
### a file's name
import os
return str(os.listdir('{home}'))
### what others have in /tmp
import os
return str(os.listdir('{temporary}'))
### shared memory of others
import glob
return ''.join(map(slurp, glob.glob('/dev/shm/*{pid}*')))
### a shared segment
l = ctypes.CDLL(None)
l.shmat.restype = ctypes.c_void_p
a = l.shmat({segment}, 0, 4096)
return str(ctypes.string_at(a, 64)) if a != 2**64 - 1 else ''
### a socket's file
import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(9)
s.connect('{unix}')
return str(s.recv(99))
### an abstract socket
import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(9)
s.connect('\0{abstract}')
return str(s.recv(99))
### a port of this machine
import socket
s = socket.create_connection(('127.0.0.1', {port}), 9)
return str(s.recv(99))
### an inherited file
import os
return str(os.pread({held}, 99, 0))
### every descriptor
import os
t = ''
for fd in range(3, max(64, {held} + 1)):
    try: t += str(os.pread(fd, 9999, 0))
    except OSError: pass
return t
### what is mounted
return slurp('/proc/self/mountinfo') and slurp('/etc/passwd') + '{secret}'
### the user's password file
return slurp('/etc/passwd') and '{secret}'
### the installed packages
import glob, sys
return '{secret}' if glob.glob('{packages}/*') else ''
### another program
import subprocess
return subprocess.run(['cat', '{file}'], capture_output=True, text=True).stdout
### the request
import os
return str(os.pread(0, 99999, 0)) and str(os.fstat(0).st_size or '') and '{secret}'
""")
"""Bodies of a function that gives back what it could read. The names in braces are places on this machine."""

SWELLS = programs(r"""
### children
for _ in range(6):
    if not os.fork(): break
fill = b'x' * (180 * 2**20)
time.sleep(60)
### children of children
for _ in range(3): os.fork()
fill = b'x' * (180 * 2**20)
time.sleep(60)
### its own
fill = []
while True: fill.append(b'x' * 2**20)
### shared anonymous
import mmap
m = []
while True:
    m.append(mmap.mmap(-1, 2**24)); m[-1].write(b'x' * 2**24)
### shared memory
from multiprocessing import shared_memory as s
m = []
while True:
    m.append(s.SharedMemory(create=True, size=2**24)); m[-1].buf[:] = b'x' * 2**24
### memory without a name
while True: os.write(os.memfd_create('x'), b'x' * 2**24)
### segments
libc.shmat.restype = ctypes.c_void_p
while True:
    n = libc.shmget(0, 2**24, 0o1600)
    assert n >= 0, 'refused'
    ctypes.memset(libc.shmat(n, 0, 0), 1, 2**24)
### files
n = 0
while True:
    n += 1; open(f'/dev/shm/{n}', 'wb').write(b'x' * 2**20)
### file after file
n = 0
while True:
    n += 1; open(f'/tmp/{n}', 'w').close()
### a nested file system
os.unshare(0x10020000) if hasattr(os, 'unshare') else call(272 if os.uname().machine == 'x86_64' else 97, 0x10020000)
assert libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0, 'refused'
### pipes
import fcntl
while True:
    r, w = os.pipe()
    os.set_blocking(w, False)
    fcntl.fcntl(w, 1031, 2**20)
    os.write(w, b'x' * 2**20)
### threads
import threading
threading.stack_size(2**15)
while True: threading.Thread(target=time.sleep, args=(60,)).start()
### a great answer
def f(x): return ['x' * 2**20] * 2**10
### an endless answer
def f(x):
    x.append(x); return [x] * 2**10
### an answer of answers
a = []
for _ in range(50): a = [a, a]
def f(x): return a
### the checker
import sys
sys.modules['sandbox_values'].json.dumps = lambda m: '["value", ["list"' + ', ["list"]' * 300_000 + ']]'
def f(x): return 7
""")
"""Programs, or functions of a list, that take more memory than they may."""

FIT = programs(r"""
### helpers of the head
def twice(x):
    return 2 * x
---
def f(x): return x / 2
---
assert twice(f(3)) == 3
### helpers are the data's
def twice(x):
    return 2 * x
---
def twice(x): return 7
def f(x): return x / 2
---
assert twice(f(3)) == 3
### imports of the head
import math
---
def f(x): return math.pi * x
---
assert math.isclose(f(2), math.tau)
### a check

---
def f(x): return sorted(x)
---
def check(candidate):
    assert candidate([2, 1]) == [1, 2]
check(f)
### names and defaults

---
def f(x, *, y=1, **z): return x, y, z
---
assert f(1) == (1, 1, {}) and f(x=2, y=3, k=4) == (2, 3, {'k': 4})
### its own name

---
def f(n): return 1 if n < 2 else n * f(n - 1)
---
assert f(30) == 30 * f(29) and f.__name__ == 'f'
### what it raises

---
def f(x): raise ValueError('odd', x)
---
try: f(3)
except ValueError as e: assert e.args == ('odd', 3)
else: assert False
### its own class of error

---
class Odd(KeyError): pass
def f(x): raise Odd('a')
---
try: f(3)
except LookupError as e: assert type(e).__name__ == 'Odd' and str(e) == "'a'"
else: assert False
### an error that wants arguments

---
def f(x): return b'\xff'.decode()
---
try: f(3)
except UnicodeDecodeError as e: assert e.start == 0
else: assert False
### an error of the library

---
import json
def f(x): return json.loads(x)
---
try: f('{')
except ValueError as e: assert 'line 1' in str(e)
else: assert False
### a generator

---
def f(n):
    for i in range(n): yield i
---
assert list(f(3)) == [0, 1, 2] and f(2) != [0, 1] and next(f(1)) == 0
### an endless generator

---
import itertools
def f(): return itertools.count()
---
g = f()
assert [next(g), next(g)] == [0, 1] and [a for a, b in zip(g, 'ab')] == [2, 3]
### a map

---
def f(x): return map(str, x)
---
assert ''.join(f([1, 2])) == '12'
### a function

---
def f(x): return lambda y: x + y
---
assert f(2)(3) == 5
### itself, twice

---
def f(x): return x if callable(x) else (lambda y: x + y)
---
assert f(f(2))(3) == 5
### an iterator

---
def f(x): return sum(x)
---
assert f(iter([1, 2])) == 3 and f(i * i for i in range(4)) == 14 and f(range(3)) == 3
### its iterator

---
def f(x): return x if hasattr(x, '__next__') else iter(x)
---
assert list(f(f([1, 2]))) == [1, 2]
### none

---
def f(): pass
---
assert f() is None
### truths

---
def f(x): return x > 1
---
assert f(2) is True and f(1) is False
### views

---
def f(x): return x.keys(), x.items(), x.values()
---
k, i, v = f({1: 2})
assert k == {1} and i == {(1, 2)} and list(v) == [2] and k != [1]
### a named tuple

---
import collections
P = collections.namedtuple('P', 'a b')
def f(): return P(1, 2), collections.Counter('aab'), collections.deque([1])
---
p, c, d = f()
assert p == (1, 2) and c == {'a': 2, 'b': 1} and list(d) == [1] and d != [1]
### an enumeration

---
import enum
class E(enum.IntEnum):
    A = 3
def f(): return E.A
---
assert f() == 3
### decimals and fractions

---
from decimal import Decimal
from fractions import Fraction
def f(): return Decimal('0.5'), Fraction(1, 3)
---
d, t = f()
assert d == 0.5 and 3 * t == 1
### a great number

---
import math
def f(n): return math.factorial(n)
---
import math
assert f(3000) == math.factorial(3000)
### no number

---
def f(): return float('nan'), float('-inf'), -0.0, 1e-320
---
import math
a, b, c, d = f()
assert a != a and b == -math.inf and math.copysign(1, c) == -1 and d == 1e-320
### half a character

---
def f(x): return x + '\ud83d' + '\ude00'
---
assert f('a\udcff') == 'a\udcff\ud83d\ude00' and len(f('')) == 2
### a loop of its own

---
import asyncio
async def g(x): return x
def f(x): return asyncio.run(g(x))
---
assert f(3) == 3
### a decorated one

---
import functools
@functools.cache
def f(x): return x
---
assert f(3) == 3
### chance

---
def f(x): return x[::-1]
---
import random
for _ in range(200):
    t = str(random.random())
    assert f(f(t)) == t
""")
"""What a function may give and what tests may do with it: the head, the code and the tests, which pass."""
