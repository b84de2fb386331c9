"""Small worlds in which a role goes the way it goes because of what it was refused, or saw."""

from harness import At, Completion, Meet, Mutex, RWSemaphore, Scenario, step, vocabulary


def trylock():
    """The fallback of a trylock that is refused asks in the wrong order."""
    a, b = Mutex("a"), Mutex("b")

    def holder():
        with a:
            with b:
                pass

    def tries():
        with b:
            if a.acquire(blocking=False):
                a.release()
            else:
                wait_for_it()

    def wait_for_it():
        with a:
            pass

    return Scenario({"CPU0": holder, "CPU1": tries},
                    meet=Meet(At("CPU1", a, holding=b), At("CPU0", b, holding=a)))


def timeout():
    """The same with a wait whose time runs out."""
    a, b = Mutex("a"), Mutex("b")

    def holder():
        with a:
            with b:
                pass

    def patient():
        with b:
            if not a.acquire(timeout=0.001):
                with a:
                    pass
            else:
                a.release()

    return {"CPU0": holder, "CPU1": patient}


@vocabulary
def device_trylock(mutex):
    """Take *mutex* if it is free, and say so as the kernel does."""
    return int(mutex.acquire(False))


def semaphore():
    """A trylock of a semaphore, one of a verb, and a wait for a completion come to nothing."""
    sem, lock, done = RWSemaphore("sem"), Mutex("0000:01:00.0"), Completion("done")

    def reader():
        with lock:
            with sem.down_read():
                step("flag")

    def writer():
        done.wait(timeout=0.001)
        if device_trylock(lock):
            lock.release()
        else:
            with sem.down_read():
                if not sem.down_write_trylock():    # never: it reads itself
                    with lock:
                        pass

    def other():
        with sem.down_write():
            pass

    return {"reader": reader, "writer": writer, "other": other}


def spins():
    """One tries until it has it, and does not give it back."""
    lock, go = Mutex("lock"), Completion("go")

    def holder():
        with lock:
            go.wait(by="spinner")

    def spinner():
        for _ in range(3):
            lock.acquire(False)
        with lock:
            go.complete()

    return Scenario({"holder": holder, "spinner": spinner},
                    meet=Meet(At("holder", go), At("spinner", lock)))


def lost_update(steps=1):
    """Two deposits read the same balance."""
    account = {"balance": 0}

    def deposit():
        for _ in range(steps):
            step("balance")
        balance = account["balance"]
        step("balance")
        account["balance"] = balance + 1

    def check():
        assert account["balance"] == 2, f"the balance is {account['balance']}"

    return Scenario({"alice": deposit, "bob": deposit}, check=check)


def many_steps():
    """The same, with more points than a report shows unasked."""
    return lost_update(30)


def by_a_flag():
    """Only a role that saw the flag asks in the wrong order."""
    a, b, box = Mutex("a"), Mutex("b"), []

    def sets():
        step("box")
        box.append(1)
        with a:
            with b:
                pass

    def looks():
        step("box")
        if box and not a.locked():
            with b:
                with a:
                    pass

    return {"sets": sets, "looks": looks}


def stepping():
    """One role, which asks for nothing."""
    lock, done = Mutex("lock"), Completion("done")

    def role():
        step("box")
        lock.locked()
        done.done()

    return {"role": role}
