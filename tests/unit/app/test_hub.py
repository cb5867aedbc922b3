import threading
import time

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
    hub, seen = Hub(), {"slow": 0, "fast": 0}
    stop = threading.Event()

    def view(name, pause_s):
        last = 0
        while not stop.is_set():
            picture = hub.next(last, 0.1)
            if picture:
                last = picture.number
                seen[name] += 1
            time.sleep(pause_s)

    threads = [threading.Thread(target=view, args=args) for args in (("slow", 0.5), ("fast", 0.0))]
    for thread in threads:
        thread.start()
    longest_s = 0.0
    for number in range(60):
        start_s = time.perf_counter()
        hub.publish(b"%d" % number, 0.0)
        longest_s = max(longest_s, time.perf_counter() - start_s)
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen["slow"] < seen["fast"] and seen["fast"] > 10
    assert longest_s < 0.4, "publishing waits for no viewer"


def test_closing_ends_everybodys_wait():
    hub, told = Hub(), []
    ended = threading.Event()
    threading.Thread(target=lambda: (hub.next(0, 60.0), ended.set()), daemon=True).start()
    with hub.watching(lambda: told.append(1)):
        hub.close()
    assert ended.wait(10) and told == [1] and hub.is_closed
