package snapshot

import (
	"context"
	"errors"
)

// errOrdered ends what has the turn when an operator gives an order.
var errOrdered = errors.New("another order of an operator came between")

// takeTurn waits for the turn; an order stops whatever has it. The context that
// it gives ends with ctx, and when an order wants the turn; done gives it back.
func (k *Keeper) takeTurn(ctx context.Context, order bool) (turn context.Context, done func(), err error) {
	if order {
		k.waiting(1)
		k.interrupt()
		defer k.waiting(-1)
	}
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stop = cancel
	if k.orders > 0 && !order { // it came before there was a stop
		cancel(errOrdered)
	}
	return ctx, func() {
		k.mu.Lock()
		k.stop = nil
		k.mu.Unlock()
		cancel(nil)
		<-k.turn
	}, nil
}

// waiting counts the orders that wait for the turn.
func (k *Keeper) waiting(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.orders += n
}

// interrupt stops what has the turn.
func (k *Keeper) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stop != nil {
		k.stop(errOrdered)
	}
}
