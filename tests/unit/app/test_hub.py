import threading

from waiting import wait_for

from edgelab.app.hub import Hub


def test_a_viewer_gets_the_newest_and_skips_the_rest():
    hub = Hub()
    for number in range(5):
        hub.publish(b"%d" % number, 0.0)
    picture = hub.next(0, 1.0)
    assert (picture.number, picture.jpeg) == (5, b"4")
    assert hub.next(5, 0.01) is None


def test_nothing_needs_to_be_drawn_when_nobody_looks():
    hub = Hub()
    assert hub.is_wanted, "the first picture is there for whoever comes"
    hub.publish(b"", 0.0)
    assert not hub.is_wanted
    with hub.watching():
        assert hub.is_wanted and hub.viewers == 1
    assert not hub.is_wanted and hub.viewers == 0
    hub.ask()
    assert hub.is_wanted


def test_a_slow_viewer_delays_nobody():
    hub, seen = Hub(), {"slow": [], "fast": []}
    released, stop = threading.Event(), threading.Event()

    def view(name, pause):
        while not stop.is_set():
            picture = hub.next(seen[name][-1] if seen[name] else 0, 0.1)
            if picture:
                seen[name].append(picture.number)
                pause()

    pauses = {"slow": lambda: released.wait(60), "fast": lambda: None}
    threads = [threading.Thread(target=view, args=pair, daemon=True) for pair in pauses.items()]
    for thread in threads:
        thread.start()
    wait_for(lambda: hub.publish(b"", 0.0) and seen["slow"], 60)
    had = len(seen["fast"])
    wait_for(lambda: hub.publish(b"", 0.0) and len(seen["fast"]) >= had + 10, 60)
    assert len(seen["slow"]) == 1, "publishing waits for no viewer"
    released.set()
    wait_for(lambda: len(seen["slow"]) == 2, 60)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen["slow"][1] == hub.latest.number, "it skips the rest"


def test_closing_ends_everybodys_wait():
    hub, told = Hub(), []
    ended = threading.Event()
    threading.Thread(target=lambda: (hub.next(0, 60.0), ended.set()), daemon=True).start()
    with hub.watching(lambda: told.append(1)):
        hub.close()
    assert ended.wait(10) and told == [1] and hub.is_closed
